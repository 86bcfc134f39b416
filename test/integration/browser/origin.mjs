/** Tells whether a page of this origin may connect. */
import { connect } from "/dist/bundle/browser.js";

const url = new URLSearchParams(location.search).get("broker");
const found = await connect(url).then(
	() => "connected",
	(error) => error.code,
);
await fetch("/result", { method: "POST", body: JSON.stringify(found) });
