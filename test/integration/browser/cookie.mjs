/**
 * Says who the page is by a cookie that it cannot read, and sends all the time until the site has
 * put another token in its place, a little after the first has run out.
 */
import { connect } from "/dist/bundle/browser.js";

const url = new URLSearchParams(location.search).get("broker");
const post = (path, body) => fetch(path, { method: "POST", body: JSON.stringify(body) });
const found = { seen: document.cookie, acked: 0 };
try {
	const client = await connect(url, { auth: { cookie: true } });
	const producer = client.producer();
	let isRenewed = false;
	const renewed = post("/late").then(() => {
		isRenewed = true;
	});
	while (!isRenewed) {
		await producer.send({ topic: "clicks", value: "one" });
		found.acked += 1;
		await new Promise((resolve) => setTimeout(resolve, 100));
	}
	await renewed;
	const { offset } = await producer.send({ topic: "clicks", value: "last" });
	found.isEach = offset === found.acked;
	await client.close();
} catch (error) {
	found.error = `${error.stack ?? error}`;
}
await post("/result", found);
