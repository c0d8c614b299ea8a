/* Browsers start no worker from a file. Where the site is opened as one, the search runs in a hidden frame instead. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(script) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const own = frame.contentWindow, base = new URL(script, document.baseURI)
      const load = url => new Promise((loaded, failed) => {
        const element = frame.contentDocument.createElement("script")
        Object.assign(element, { src: new URL(url, base), onload: loaded, onerror: () => failed(new Error(element.src)) })
        frame.contentDocument.body.append(element)
      })
      own.IFrameWorker = true
      own.importScripts = (...urls) => urls.reduce((before, url) => before.then(() => load(url)), Promise.resolve())
      own.postMessage = data => {
        const event = new MessageEvent("message", { data })
        this.dispatchEvent(event)
        this.onmessage?.(event)
      }
      this.own = own
      this.ready = load(base)
    }
    postMessage(data) {
      this.ready.then(() => this.own.dispatchEvent(new MessageEvent("message", { data })))
    }
    terminate() {
      this.own.frameElement.remove()
    }
  }
}
