// Login: one field for the access token, and where the token is found.
import { ApiError, logIn } from "../api.js";
import { el, newId, setText } from "../dom.js";
import { textOf } from "../parts.js";

const WRONG = "This token is not right. Copy it again; it is one line.";
const OLD_LINK =
  "This link was used already, or is older than 15 minutes. Enter the access token, or take a new link from the log.";

/** Show the form; `enter` is called once logged in. `failed`: why a one-time link was refused. */
export function show(view, enter, failed = null) {
  const id = newId("token");
  const field = el("input", {
    id,
    type: "password",
    name: "token",
    autocomplete: "current-password",
    required: true,
    maxlength: "200",
    spellcheck: "false",
    autocapitalize: "off",
  });
  const button = el("button", { type: "submit", class: "button first" }, "Log in");
  const alert = el("p", { class: "note bad", role: "alert" });
  const form = el(
    "form",
    { class: "card", onsubmit: submit },
    el("h1", {}, "Log in"),
    alert,
    // A name for password managers.
    el("input", { type: "text", autocomplete: "username", value: "edge-tdn", readonly: true, hidden: true }),
    el("div", { class: "field" }, el("label", { for: id }, "Access token"), field),
    button,
    el(
      "div",
      { class: "stack" },
      el("p", { class: "small muted" }, "Where it is:"),
      el(
        "ul",
        {},
        el(
          "li",
          {},
          "A link that needs no token is in the log of ",
          el("code", {}, "edge-tdn run"),
          ". It works once, for 15 minutes.",
        ),
        el(
          "li",
          {},
          "The token is in the file that the configuration names as ",
          el("code", {}, "web.token_file"),
          ", or else in ",
          el("code", {}, "page/token"),
          " of the daemon's state folder.",
        ),
      ),
    ),
  );
  view.append(el("div", { class: "login" }, form));
  if (failed instanceof ApiError) setText(alert, failed.status === 401 ? OLD_LINK : textOf(failed));
  field.focus();

  async function submit(event) {
    event.preventDefault();
    setText(alert, "");
    button.disabled = true;
    try {
      await logIn({ token: field.value.trim() });
      enter();
    } catch (error) {
      setText(alert, error.status === 401 ? WRONG : textOf(error));
      field.select();
      field.focus();
    } finally {
      button.disabled = false;
    }
  }
}
