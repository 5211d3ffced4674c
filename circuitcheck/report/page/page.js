"use strict";
(() => {
  const root = document.documentElement;
  const find = (id) => document.getElementById(id);
  root.classList.add("scripted");

  const theme = find("theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
  const nameTheme = () => { theme.textContent = isDark() ? "Light colours" : "Dark colours"; };
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; nameTheme(); });
  prefersDark.addEventListener("change", nameTheme);
  nameTheme();

  const table = find("claims");
  if (!table) return;
  const form = find("filters"), words = find("words"), order = find("order"), all = find("all");
  const chosen = ["model", "file"].map(find).filter(Boolean);
  const states = [...form.querySelectorAll("[name=state]")];
  const rows = [...table.tBodies].map((body) => ({
    body, data: body.dataset, button: body.querySelector("button"), text: "",
  }));
  for (const row of rows) {
    row.text = `${row.body.rows[0].textContent} ${row.data.sought}`.toLowerCase();
    row.title = row.button.textContent.toLowerCase();
  }
  form.hidden = false;

  const open = (row, is) => {
    row.body.classList.toggle("open", is);
    row.button.setAttribute("aria-expanded", String(is));
  };
  const many = (count) => count === 1 ? "1 claim" : `${count} claims`;
  const nameAll = () => {
    const visible = rows.filter((row) => !row.body.hidden);
    all.textContent = visible.length && visible.every((row) => row.body.classList.contains("open")) ? "Close all" : "Open all";
  };

  const filter = () => {
    const sought = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = new Set(states.filter((box) => box.checked).map((box) => box.value));
    let shown = 0;
    for (const row of rows) {
      const fits = (!wanted.size || wanted.has(row.data.state))
        && chosen.every((one) => !one.value || row.data[one.id] === one.value)
        && sought.every((word) => row.text.includes(word));
      row.body.hidden = !fits;
      shown += fits;
    }
    find("count").textContent = shown === rows.length ? many(shown) : `${shown} of ${many(rows.length)}`;
    find("none").hidden = shown > 0;
    nameAll();
  };
  const reset = () => { form.reset(); sort("order", 1); filter(); };

  const keys = {
    order: (row) => Number(row.data.order),
    state: (row) => Number(row.data.rank),
    title: (row) => row.title,
    effect: (row) => row.data.effect ? Number(row.data.effect) : NaN,
    distance: (row) => row.data.distance ? Number(row.data.distance) : NaN,
    n: (row) => row.data.n ? Number(row.data.n) : NaN,
  };
  const falling = new Set(["effect", "n"]);
  const sort = (name, sign) => {
    const key = keys[name];
    const grouped = name === "effect" || name === "distance";
    const last = (row) => Number.isNaN(key(row)) ? 2 : grouped && "own" in row.data ? 1 : 0;
    const compare = (one, other) => {
      const [a, b] = [key(one), key(other)];
      return last(one) - last(other) || sign * (a < b ? -1 : a > b ? 1 : 0) || keys.order(one) - keys.order(other);
    };
    table.append(...[...rows].sort(compare).map((row) => row.body));
    for (const head of table.tHead.querySelectorAll("[data-key]")) {
      if (head.dataset.key === name) head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
    order.value = name;
  };

  const goTo = () => {
    const target = location.hash && find(decodeURIComponent(location.hash.slice(1)));
    const row = target && rows.find((one) => one.body.contains(target));
    if (!row) return;
    if (row.body.hidden) reset();
    open(row, true);
    // More than once: rows out of sight have a height that was guessed, until they are drawn, and the browser goes to the
    // anchor by itself when all is loaded.
    for (const later of [0, 50, 150]) {
      setTimeout(() => { row.button.focus({ preventScroll: true }); row.body.scrollIntoView(); }, later);
    }
  };

  table.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    const head = button && button.closest("[data-key]");
    if (head) {
      const first = falling.has(head.dataset.key) ? "descending" : "ascending";
      const is = head.getAttribute("aria-sort");
      const next = !is ? first : is === "ascending" ? "descending" : "ascending";
      sort(head.dataset.key, next === "ascending" ? 1 : -1);
      return;
    }
    const line = event.target.closest("tr.row");
    if (!line || String(getSelection())) return;
    const row = rows.find((one) => one.body === line.parentElement);
    open(row, !row.body.classList.contains("open"));
    nameAll();
  });
  form.addEventListener("input", (event) => {
    if (event.target.tagName !== "SELECT") filter();
  });
  for (const one of chosen) one.addEventListener("change", filter);
  order.addEventListener("change", () => sort(order.value, falling.has(order.value) ? -1 : 1));
  form.addEventListener("submit", (event) => event.preventDefault());
  all.addEventListener("click", () => {
    const is = all.textContent === "Open all";
    for (const row of rows) if (!row.body.hidden) open(row, is);
    nameAll();
  });
  find("clear").addEventListener("click", reset);
  find("again").addEventListener("click", () => { reset(); words.focus(); });
  addEventListener("hashchange", goTo);
  filter();
  goTo();
})();
