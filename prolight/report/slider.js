// The range input carries value, keyboard and screen reader; the pointer is followed on the whole picture,
// because a native slider without a wide thumb cannot be dragged on some touch screens.
for (const figure of document.querySelectorAll("[data-compare]")) {
  const stage = figure.querySelector(".stage");
  const range = figure.querySelector("input");
  const show = () => {
    stage.style.setProperty("--cut", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % before, ${100 - range.value} % after`);
  };
  const follow = (event) => {
    const box = stage.getBoundingClientRect();
    range.value = (100 * (event.clientX - box.left)) / box.width;
    show();
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    follow(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) follow(event);
  });
  range.addEventListener("input", show);
  show();
}
