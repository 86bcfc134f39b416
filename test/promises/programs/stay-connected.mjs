/**
 * Is connected in every way there is until it vanishes: `node stay-connected.mjs WS_URL KAFKA
 * TOPIC`. Says "connected" once it is a member of a group over either protocol, holds a connection
 * of plain HTTP, and has an unfinished request at each listener.
 */
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import kafkajs from "kafkajs";

import { connect } from "../../../dist/client/index.js";

const [, , url, bootstrap, topic] = process.argv;
const { hostname, port } = new URL(url);
const [kafkaHost, kafkaPort] = bootstrap.split(":");

const fail = (error) => {
	throw error;
};

/** A record has come, so the group has given out its partitions. */
async function joinOverWebSocket() {
	const client = await connect(url);
	const consumer = client.consumer({
		group: "vanishing-websocket",
		topics: topic,
		from: "earliest",
	});
	const records = consumer[Symbol.asyncIterator]();
	await records.next();
}

async function joinOverKafka() {
	const kafka = new kafkajs.Kafka({ brokers: [bootstrap], logLevel: kafkajs.logLevel.NOTHING });
	const consumer = kafka.consumer({ groupId: "vanishing-kafka", sessionTimeout: 10_000 });
	await consumer.connect();
	await consumer.subscribe({ topic, fromBeginning: true });
	const joined = new Promise((resolve) => consumer.on(consumer.events.GROUP_JOIN, resolve));
	await consumer.run({ eachMessage: async () => undefined });
	await joined;
}

async function open(host, toPort, bytes) {
	const socket = connectSocket({ host, port: Number(toPort) });
	socket.on("error", fail);
	await once(socket, "connect");
	socket.write(bytes);
	return socket;
}

const LIVE = `GET /live HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`;

await Promise.all([joinOverWebSocket(), joinOverKafka()]);
const answered = await open(hostname, port, LIVE);
await once(answered, "data");
await open(hostname, port, LIVE.slice(0, -4));
await open(kafkaHost, kafkaPort, Buffer.from([0, 0, 1, 0, 0]));
process.stdout.write("connected\n");
