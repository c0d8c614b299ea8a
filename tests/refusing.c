/* The system calls that some file systems refuse, refused in the folder $REFUSING: syncing a folder (EINVAL) and setting
   permissions (EPERM); with $WITHOUT_LOCKS, locks too (ENOLCK). For LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int inside(int descriptor) {
    const char *folder = getenv("REFUSING");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = folder ? readlink(link, path, sizeof path - 1) : -1;
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

static int refuse(int error) {
    errno = error;
    return -1;
}

int fsync(int descriptor) {
    struct stat found;
    if (inside(descriptor) && fstat(descriptor, &found) == 0 && S_ISDIR(found.st_mode)) return refuse(EINVAL);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(descriptor);
}

int fchmod(int descriptor, mode_t mode) {
    if (inside(descriptor)) return refuse(EPERM);
    return ((int (*)(int, mode_t))dlsym(RTLD_NEXT, "fchmod"))(descriptor, mode);
}

int flock(int descriptor, int operation) {
    if (getenv("WITHOUT_LOCKS") && inside(descriptor)) return refuse(ENOLCK);
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(descriptor, operation);
}
