#include "zoo/report/html_filter.h"

namespace zoo::report {

const char* const filter_box =
    "<p class=\"filter\" hidden><label for=\"filter\">Show only layers and tasks named</label> <input id=\"filter\" "
    "type=\"search\" autocomplete=\"off\" spellcheck=\"false\"> <span id=\"filter-count\" "
    "role=\"status\"></span></p>\n";

const char* const filter_script = R"js(
(() => {
  const box = document.getElementById("filter");
  const count = document.getElementById("filter-count");
  const parts = [...document.querySelectorAll("[data-part]")];
  const items = [...document.querySelectorAll("[data-name]")].map((element) => {
    const part = element.closest("[data-part]");
    return { element, name: (element.dataset.name + " " + (part ? part.dataset.part : "")).toLowerCase() };
  });
  const apply = () => {
    const words = box.value.toLowerCase().split(" ").filter((word) => word);
    let shown = 0;
    for (const { element, name } of items) {
      element.hidden = !words.every((word) => name.includes(word));
      shown += element.hidden ? 0 : 1;
    }
    for (const part of parts) part.hidden = !part.querySelector("[data-name]:not([hidden])");
    count.textContent = words.length ? shown + " of " + items.length + " lines shown" : "";
  };
  box.addEventListener("input", apply);
  box.closest("p").hidden = false;
  apply();
})();
)js";

}  // namespace zoo::report
