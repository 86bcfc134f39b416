/** Runs the scenario on the page and in a worker, and reports to the test's server. */
import { run } from "./scenario.mjs";

const violations = [];
document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
	violations.push(`${violatedDirective} ${blockedURI}`);
});

const post = (path, body) => fetch(path, { method: "POST", body: JSON.stringify(body) });

function runInWorker(url) {
	return new Promise((resolve, reject) => {
		const worker = new Worker("/worker.mjs", { type: "module" });
		worker.addEventListener("message", ({ data }) => {
			if (data.error === undefined) resolve(data.found);
			else reject(new Error(`in the worker: ${data.error}`));
		});
		worker.addEventListener("error", ({ message }) => reject(new Error(`worker: ${message}`)));
		worker.postMessage(url);
	});
}

try {
	const url = new URLSearchParams(location.search).get("broker");
	const page = await run(url, "page", () => post("/restart"));
	const worker = await runInWorker(url);
	await post("/result", { page, worker, violations });
} catch (error) {
	await post("/result", { error: `${error.stack ?? error}`, violations });
}
