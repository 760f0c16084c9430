// tollkeeper dashboard opens the login with a code behind #, which no browser sends or logs: send it by the form.
"use strict";

const code = location.hash.slice(1);
if (code) {
  history.replaceState(null, "", location.pathname + location.search);
  const form = document.getElementById("by-code");
  form.elements.code.value = code;
  form.requestSubmit();
}
