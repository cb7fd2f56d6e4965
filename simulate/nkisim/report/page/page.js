// Moves the stretch of time that the plots share, and gives the plots' texts the page's colours.
"use strict";
const whenReady = (act) => (Bokeh.documents.length ? act(Bokeh.documents[0]) : setTimeout(() => whenReady(act), 50));

whenReady((doc) => {
  const time = doc.get_model_by_name("time") ?? [...doc.all_models].find((model) => model.name === "time");
  const whole = [time.start, time.end];
  const shown = document.querySelector(".controls output");
  const say = () => { shown.textContent = `${time.start.toPrecision(4)} to ${time.end.toPrecision(4)} us`; };
  const show = (start, width) => {
    const least = (whole[1] - whole[0]) / 1e5;
    const w = Math.min(Math.max(width, least), whole[1] - whole[0]);
    const s = Math.min(Math.max(start, whole[0]), whole[1] - w);
    time.setv({ start: s, end: s + w });
  };
  const acts = {
    left: (s, w) => show(s - w / 4, w), right: (s, w) => show(s + w / 4, w),
    in: (s, w) => show(s + w / 4, w / 2), out: (s, w) => show(s - w / 2, w * 2),
    all: () => show(whole[0], whole[1] - whole[0]),
  };
  const keys = { ArrowLeft: "left", ArrowRight: "right", "+": "in", "-": "out", 0: "all" };
  const act = (name) => acts[name](time.start, time.end - time.start);
  const bar = document.querySelector(".controls");
  bar.addEventListener("click", (event) => event.target.dataset.do && act(event.target.dataset.do));
  bar.addEventListener("keydown", (event) => {
    if (keys[event.key] && !event.ctrlKey && !event.metaKey) { act(keys[event.key]); event.preventDefault(); }
  });
  time.change.connect(say);
  say();

  const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  const paint = () => {
    const colour = ink();
    for (const model of doc.all_models) {
      const names = ["axis_label_text_color", "major_label_text_color", "axis_line_color", "major_tick_line_color",
        "minor_tick_line_color", "text_color", "label_text_color", "grid_line_color"];
      for (const name of names) if (name in model.properties) model.setv({ [name]: name === "text_color" && model.type === "LabelSet" ? { value: colour } : colour });
    }
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  paint();
});
