// The mask over the photograph: brush, eraser, box and stroke, with undo. The mask is a canvas whose painted pixels are opaque.

import { el } from "./dom.js";

const TINT = "#ff3d71";
const UNDO_BYTES = 2e8;

export class MaskEditor {
  // `changed` is called after every change; `refine(kind, blob)` gives the mask that a box or a stroke means.
  constructor(photograph, changed, refine) {
    const { url, width, height } = photograph;
    Object.assign(this, { width, height, changed, refine, tool: "brush", history: [], edits: [], busy: false });
    this.size = Math.max(4, Math.round(Math.max(width, height) / 24));
    this.cursor = { x: width / 2, y: height / 2, shown: false };
    this.mask = this.layer();
    this.draft = this.layer(); // what a box or a stroke has drawn so far
    this.canvas = el("canvas", {
      width, height, tabIndex: 0, role: "application",
      "aria-label": "Mask over the photograph. Arrow keys move the brush, Space paints. The keys of the other tools are listed beside.",
    });
    this.element = el("div", { className: "canvas" }, el("img", { src: url, alt: "The photograph", draggable: false }), this.canvas);
    this.element.style.aspectRatio = `${width} / ${height}`;
    this.element.style.setProperty("--ratio", width / height);
    this.listen();
  }

  layer() {
    return el("canvas", { width: this.width, height: this.height });
  }

  pen(layer) {
    return layer.getContext("2d", { willReadFrequently: layer === this.mask });
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button || this.busy) return;
      event.preventDefault();
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      this.cursor.shown = false;
      this.begin(this.place(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      this.hover = this.place(event);
      if (this.from) this.go(this.hover);
      else this.draw();
    });
    canvas.addEventListener("pointerup", () => this.end());
    canvas.addEventListener("pointercancel", () => this.end());
    canvas.addEventListener("pointerleave", () => {
      this.hover = null;
      this.draw();
    });
    canvas.addEventListener("keydown", (event) => this.byKey(event));
    canvas.addEventListener("blur", () => {
      this.cursor.shown = false;
      this.draw();
    });
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) * this.width) / box.width,
      y: ((event.clientY - box.top) * this.height) / box.height,
    };
  }

  byKey(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || this.busy) return;
    if (way) {
      const far = event.shiftKey ? 1 : Math.max(2, this.size / 3);
      this.cursor.x = Math.min(this.width, Math.max(0, this.cursor.x + way[0] * far));
      this.cursor.y = Math.min(this.height, Math.max(0, this.cursor.y + way[1] * far));
      if (this.from) this.go({ ...this.cursor });
    } else if (event.key === " ") {
      if (this.from) {
        this.go({ ...this.cursor });
        this.end();
      } else {
        this.begin({ ...this.cursor });
        if (this.tool === "brush" || this.tool === "eraser") this.end();
      }
    } else return;
    event.preventDefault();
    event.stopPropagation();
    this.cursor.shown = true;
    this.draw();
  }

  begin(place) {
    this.from = this.last = place;
    if (this.tool === "brush" || this.tool === "eraser") this.remember();
    this.go(place);
  }

  go(place) {
    if (this.tool === "box") {
      const pen = this.pen(this.draft);
      pen.clearRect(0, 0, this.width, this.height);
      pen.fillStyle = "#fff";
      pen.fillRect(Math.min(this.from.x, place.x), Math.min(this.from.y, place.y), Math.abs(place.x - this.from.x), Math.abs(place.y - this.from.y));
    } else {
      const pen = this.pen(this.tool === "stroke" ? this.draft : this.mask);
      pen.globalCompositeOperation = this.tool === "eraser" ? "destination-out" : "source-over";
      pen.strokeStyle = "#fff";
      pen.lineCap = pen.lineJoin = "round";
      pen.lineWidth = this.size;
      pen.beginPath();
      pen.moveTo(this.last.x, this.last.y);
      pen.lineTo(place.x, place.y);
      pen.stroke();
    }
    this.last = place;
    this.draw();
  }

  async end() {
    if (!this.from) return;
    this.from = null;
    if (this.tool === "box" || this.tool === "stroke") {
      await this.refineDraft(this.tool);
    } else {
      this.edits.push(this.tool);
      this.changed();
    }
    this.draw();
  }

  // What a box around the middle means, for those who have no mouse, and where nothing finds masks by a text.
  async findMiddle() {
    const [x, y] = [this.width / 6, this.height / 6];
    const pen = this.pen(this.draft);
    pen.fillStyle = "#fff";
    pen.fillRect(x, y, this.width - 2 * x, this.height - 2 * y);
    await this.refineDraft("box");
  }

  async refineDraft(kind) {
    const blob = await this.png(this.draft);
    this.pen(this.draft).clearRect(0, 0, this.width, this.height);
    await this.replace(kind, () => this.refine(kind, blob));
  }

  // Put what `make` gives (a PNG) in the mask's place, or add what a stroke has found; the mask before can be had back.
  async replace(edit, make) {
    this.busy = true;
    this.canvas.setAttribute("aria-busy", "true");
    try {
      const blob = await make();
      if (blob) {
        this.remember();
        await this.load(blob, edit === "stroke");
        this.edits.push(edit);
        this.changed();
      }
    } finally {
      this.busy = false;
      this.canvas.removeAttribute("aria-busy");
      this.draw();
    }
  }

  async load(blob, add = false) {
    const bitmap = await createImageBitmap(blob);
    const pen = this.pen(this.mask);
    pen.globalCompositeOperation = add ? "lighten" : "copy";
    pen.drawImage(bitmap, 0, 0, this.width, this.height);
    pen.globalCompositeOperation = "source-over"; // now white on black, or white on nothing
    const pixels = pen.getImageData(0, 0, this.width, this.height);
    for (let at = 0; at < pixels.data.length; at += 4) {
      const inside = pixels.data[at] > 127;
      pixels.data.fill(inside ? 255 : 0, at, at + 4);
    }
    pen.putImageData(pixels, 0, 0);
    this.draw();
  }

  png(layer = this.mask) {
    const flat = this.layer();
    const pen = flat.getContext("2d");
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, this.width, this.height);
    pen.drawImage(layer, 0, 0);
    return new Promise((done) => flat.toBlob(done, "image/png"));
  }

  // The share of the photograph that is masked, 0 to 1.
  share() {
    const { data } = this.pen(this.mask).getImageData(0, 0, this.width, this.height);
    let inside = 0;
    for (let at = 3; at < data.length; at += 4) inside += data[at] > 127;
    return inside / (this.width * this.height);
  }

  remember() {
    this.history.push(this.pen(this.mask).getImageData(0, 0, this.width, this.height));
    const most = Math.max(3, Math.min(40, Math.floor(UNDO_BYTES / (this.width * this.height * 4))));
    if (this.history.length > most) this.history.shift();
  }

  undo() {
    const before = this.history.pop();
    if (!before || this.busy) return;
    this.pen(this.mask).putImageData(before, 0, 0);
    this.edits.length = Math.max(0, this.edits.length - 1);
    this.changed();
    this.draw();
  }

  clear() {
    this.remember();
    this.pen(this.mask).clearRect(0, 0, this.width, this.height);
    this.edits.push("clear");
    this.changed();
    this.draw();
  }

  resizeBrush(factor) {
    this.size = Math.min(Math.max(this.width, this.height) / 2, Math.max(2, this.size * factor));
    this.cursor.shown = true;
    this.draw();
  }

  draw() {
    const pen = this.canvas.getContext("2d");
    pen.clearRect(0, 0, this.width, this.height);
    this.outline ??= this.layer();
    const edge = this.pen(this.outline);
    const thick = Math.max(1, Math.max(this.width, this.height) / 400);
    edge.globalCompositeOperation = "copy";
    edge.drawImage(this.mask, -thick, 0);
    edge.globalCompositeOperation = "source-over";
    for (const [x, y] of [[thick, 0], [0, thick], [0, -thick]]) edge.drawImage(this.mask, x, y);
    edge.globalCompositeOperation = "destination-out";
    edge.drawImage(this.mask, 0, 0);
    pen.drawImage(this.mask, 0, 0);
    pen.drawImage(this.draft, 0, 0);
    pen.globalCompositeOperation = "source-in";
    pen.fillStyle = TINT;
    pen.globalAlpha = 0.5;
    pen.fillRect(0, 0, this.width, this.height);
    pen.globalAlpha = 1;
    pen.globalCompositeOperation = "source-over";
    pen.drawImage(this.outline, 0, 0);
    const at = this.cursor.shown ? this.cursor : this.hover;
    if (at) this.drawCursor(pen, at, thick);
  }

  drawCursor(pen, at, thick) {
    const radius = this.tool === "box" ? thick * 4 : this.size / 2;
    for (const [color, width] of [["#000", thick * 2.5], ["#fff", thick * 1.2]]) {
      pen.strokeStyle = color;
      pen.lineWidth = width;
      pen.beginPath();
      pen.arc(at.x, at.y, radius, 0, 7);
      pen.stroke();
    }
  }
}
