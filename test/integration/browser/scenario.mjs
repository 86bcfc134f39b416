/**
 * What the SDK does in a real browser, on a page or in a worker: `run` is called with the broker's
 * address and what the test's server offers, and resolves to what it found.
 */
import { connect } from "/dist/bundle/browser.js";

const COUNT = 2_000;
const LARGE_CHARACTERS = 1_500_000;

/** Whether strings can be run as code here: the policy of the page forbids it. */
function canEvaluate() {
	try {
		return new Function("return true")();
	} catch {
		return false;
	}
}

const sample = (number) => ({
	number,
	text: `número ${number}`,
	at: new Date(number * 1_000),
	list: [null, true, 1.5, -number, number * 4_294_967_296],
	bytes: new Uint8Array([number & 255]),
});

/** Produces records with keys over several partitions, and consumes them again, each once. */
async function produceAndConsume(client, topic) {
	await client.topics.create(topic, { partitions: 3 });
	const producer = client.producer();
	const records = Array.from({ length: COUNT }, (_, number) => ({
		key: `key-${number % 50}`,
		value: sample(number),
		headers: { from: "a browser" },
	}));
	const acks = await producer.sendBatch(topic, records);
	const seen = new Set();
	const last = new Map();
	for await (const record of client.consumer({ topics: topic, from: "earliest", until: "end" })) {
		const { number } = record.value;
		const expected = JSON.stringify(sample(number));
		if (JSON.stringify(record.value) !== expected) throw new Error(`${number} is not itself`);
		const ack = acks[number];
		if (ack.partition !== record.partition || ack.offset !== record.offset) {
			throw new Error(`${number} is not where its ack says`);
		}
		if (number <= (last.get(record.keyText) ?? -1)) throw new Error(`${number} is out of order`);
		last.set(record.keyText, number);
		seen.add(number);
	}
	return { stored: seen.size, durability: acks[0].durability };
}

/** Waits for what comes while it comes, and sends a value of many frames' worth of credit. */
async function followLarge(client) {
	await client.topics.create("large", { configs: { "max.message.bytes": 8_000_000 } });
	const consumer = client.consumer({ topics: "large", from: "latest", codec: "string" });
	await consumer.ready();
	const text = "é".repeat(LARGE_CHARACTERS);
	const sending = client.producer({ codec: "string" }).send({ topic: "large", value: text });
	for await (const { value } of consumer) {
		await sending;
		return value === text;
	}
}

/** The broker is killed and started again while records are on their way. */
async function surviveRestart(client, restart) {
	await client.topics.create("restarted");
	const producer = client.producer();
	const send = (number) => producer.send({ topic: "restarted", value: number });
	const sent = [send(0), send(1)];
	const restarted = restart();
	for (let number = 2; number < 100; number++) sent.push(send(number));
	await Promise.all([restarted, ...sent]);
	const values = [];
	const consumer = client.consumer({ topics: "restarted", from: "earliest", until: "end" });
	for await (const { value } of consumer) values.push(value);
	return values.join() === Array.from({ length: 100 }, (_, number) => number).join();
}

export async function run(url, name, restart) {
	const client = await connect(url);
	const found = {
		canEvaluate: canEvaluate(),
		...(await produceAndConsume(client, `values-${name}`)),
		large: restart === undefined ? undefined : await followLarge(client),
		restarted: restart === undefined ? undefined : await surviveRestart(client, restart),
	};
	await client.close();
	// Nobody listens there.
	found.refused = await connect("ws://127.0.0.1:9").then(
		() => "connected",
		(error) => error.code,
	);
	return found;
}
