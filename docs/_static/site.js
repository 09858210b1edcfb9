// What the theme leaves out for those who use a keyboard or have pages read to them.
document.addEventListener("DOMContentLoaded", () => {
  const set = (found, name, value) => document.querySelectorAll(found).forEach((each) => each.setAttribute(name, value));
  set(".caption[role=heading]", "aria-level", "2");
  set("pre", "tabindex", "0");
  set("aside.sidebar-drawer", "aria-label", "All pages");
  set("aside.toc-drawer", "aria-label", "On this page");
});
