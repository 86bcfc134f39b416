import { run } from "./scenario.mjs";

addEventListener("message", async ({ data: url }) => {
	try {
		postMessage({ found: await run(url, "worker") });
	} catch (error) {
		postMessage({ error: `${error.stack ?? error}` });
	}
});
