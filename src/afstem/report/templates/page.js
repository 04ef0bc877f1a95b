(function () {
  "use strict";
  var doc = document, danish = doc.documentElement.lang === "da", say = doc.getElementById("say");
  var state = new URLSearchParams(/^#~/.test(location.hash) ? location.hash.slice(2) : "");
  function keep(key, value) {
    if (value) state.set(key, value); else state.delete(key);
    var text = state.toString();
    history.replaceState(null, "", text ? "#~" + text : location.pathname + location.search);
  }
  function key(row, column) {
    var cell = row.cells[row.cells.length - column], text = cell ? cell.textContent.trim() : "";
    var number = danish ? text.replace(/\./g, "").replace(",", ".") : text.replace(/,/g, "");
    number = parseFloat(number.replace(/[^0-9.\-+]/g, ""));
    return { number: cell && cell.classList.contains("t") || isNaN(number) ? null : number, text: text };
  }
  function sort(table, head, down) {
    var heads = [].slice.call(table.tHead.rows[0].cells), column = heads.length - heads.indexOf(head);
    var body = table.tBodies[0], words = head.dataset.sort === "text";
    [].slice.call(body.rows).map(function (row) { return [key(row, column), row]; }).sort(function (a, b) {
      var x = a[0], y = b[0], order;
      if (words) order = x.text.localeCompare(y.text, danish ? "da" : "en");
      else order = (x.number === null ? -1 : x.number) - (y.number === null ? -1 : y.number);
      return down ? -order : order;
    }).forEach(function (pair) { body.appendChild(pair[1]); });
    heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    keep("s." + table.id, heads.indexOf(head) + (down ? "d" : "a"));
    say.textContent = table.dataset[down ? "down" : "up"].replace("{column}", head.dataset.label);
    table.dispatchEvent(new Event("sorted"));
  }
  [].forEach.call(doc.querySelectorAll("table.sort"), function (table) {
    [].forEach.call(table.tHead.rows[0].cells, function (head) {
      if (!head.dataset.sort) return;
      var button = doc.createElement("button"), name = head.textContent.trim();
      head.dataset.label = name;
      button.type = "button";
      if (head.querySelector("a")) {
        button.textContent = "\u21c5";
        button.setAttribute("aria-label", table.dataset.by.replace("{column}", name));
      } else while (head.firstChild) button.appendChild(head.firstChild);
      head.appendChild(button);
      button.addEventListener("click", function () {
        var now = head.getAttribute("aria-sort");
        sort(table, head, now ? now === "ascending" : head.dataset.sort !== "text");
      });
    });
  });
  [].forEach.call(doc.querySelectorAll(".tools"), function (tools) {
    var table = doc.getElementById(tools.dataset.of), all = false, first = +tools.dataset.first;
    var name = tools.querySelector("[name=f]"), type = tools.querySelector("[name=t]");
    var above = tools.querySelector("[name=a]"), more = tools.querySelector("button"), shown = tools.querySelector("output");
    function show() {
      var wanted = name.value.trim().toLowerCase(), seen = 0, fits = 0;
      [].forEach.call(table.tBodies[0].rows, function (row) {
        var fit = (!wanted || row.cells[0].textContent.toLowerCase().indexOf(wanted) >= 0) &&
          (!type.value || row.dataset.type === type.value) && (!above.checked || row.dataset.above === "1");
        fits += fit;
        row.hidden = !fit || (!all && seen >= first);
        seen += !row.hidden;
      });
      more.hidden = all || fits <= first;
      shown.textContent = shown.dataset.text.replace("{shown}", seen).replace("{all}", table.tBodies[0].rows.length);
      keep("f", name.value.trim()); keep("t", type.value); keep("a", above.checked ? "1" : ""); keep("l", all ? "1" : "");
    }
    name.value = state.get("f") || ""; type.value = state.get("t") || ""; above.checked = state.get("a") === "1";
    all = state.get("l") === "1";
    tools.hidden = false;
    [name, type, above].forEach(function (one) { one.addEventListener("input", show); });
    more.addEventListener("click", function () { all = true; show(); table.querySelector("a").focus(); });
    table.addEventListener("sorted", show);
    show();
  });
  Array.from(state.keys()).forEach(function (name) {
    var table = name.indexOf("s.") === 0 && doc.getElementById(name.slice(2)), how = state.get(name);
    var head = table && table.tHead && table.tHead.rows[0].cells[parseInt(how, 10)];
    if (head && head.dataset.sort) sort(table, head, /d$/.test(how));
  });
})();
