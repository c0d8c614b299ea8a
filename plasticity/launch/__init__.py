"""How a list of runs gets computed: on this machine, or on a cluster."""
