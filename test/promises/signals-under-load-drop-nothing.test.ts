/**
 * The promise: a broker that reads its configuration and its certificates again, however often,
 * drops no connection and refuses nobody meanwhile; and one that is told to stop under load loses
 * nothing that it has acknowledged.
 */
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect as connectPlain, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { expect, onTestFinished, test } from "vitest";

import { type Client, connect } from "../../src/client/index.ts";
import { BrokerProcess, temporaryDirectory } from "../broker-process.ts";
import { CertificateAuthority, replaceFile } from "../certificates.ts";
import type { Fields } from "../kafka/client-codec.ts";
import { RawKafkaClient } from "../kafka/raw-client.ts";
import { hasOpenssl, MISSING_OPENSSL } from "../optional-parts.ts";
import { recordBatch } from "../record-batch.ts";

const RELOADS = 6;
const CLIENTS = 8;
const TOPIC = "loaded";

/** Produces over Kafka, one batch behind the other, until it is told to stop or is cut off. */
class Load {
	readonly socket: Socket;
	readonly #raw: RawKafkaClient;
	/** Offsets that were acknowledged. */
	readonly acked: number[] = [];
	failure: unknown;
	#isStopping = false;
	readonly done: Promise<void>;

	constructor(socket: Socket) {
		this.socket = socket;
		this.#raw = RawKafkaClient.over(socket);
		this.done = this.#run().catch((error: unknown) => {
			this.failure = error;
		});
		onTestFinished(() => void socket.destroy());
	}

	/** Resolves when something that was sent after this call is answered. */
	async goesOn(): Promise<void> {
		const before = this.acked.length;
		await expect
			.poll(() => this.failure ?? this.acked.length)
			.toSatisfy((now) => typeof now !== "number" || now > before + 1);
		expect(this.failure).toBeUndefined();
	}

	async stop(): Promise<void> {
		this.#isStopping = true;
		await this.done;
		expect(this.failure).toBeUndefined();
	}

	async #run(): Promise<void> {
		const records = recordBatch([new Uint8Array(1_000)]);
		const topicData = [{ name: TOPIC, partitionData: [{ index: 0, records }] }];
		const request = { transactionalId: null, acks: -1, timeoutMs: 30_000, topicData };
		while (!this.#isStopping) {
			const { responses } = await this.#raw.request("Produce", 9, request);
			const [{ partitionResponses }] = responses as [Fields];
			const [{ errorCode, baseOffset }] = partitionResponses as [Fields];
			if (errorCode !== 0) throw new Error(`answered with ${errorCode}`);
			this.acked.push(Number(baseOffset));
		}
	}
}

const portOf = ({ kafka }: BrokerProcess) => Number(kafka?.split(":").at(-1));

async function plainSocket(broker: BrokerProcess): Promise<Socket> {
	const socket = connectPlain(portOf(broker), "127.0.0.1");
	await once(socket, "connect");
	return socket;
}

/** Opens connections of both protocols that are under load. */
async function startLoad(
	broker: BrokerProcess,
	open: () => Promise<Socket>,
): Promise<{ client: Client; loads: Load[] }> {
	const client = await connect(broker.url);
	onTestFinished(() => client.close());
	await client.topics.create(TOPIC);
	const sockets = await Promise.all(Array.from({ length: CLIENTS }, open));
	return { client, loads: sockets.map((socket) => new Load(socket)) };
}

const errorsIn = (stderr: string) =>
	stderr.split("\n").filter((line) => /"level":"(error|fatal)"/.test(line));

test("certificates are replaced under load", async (context) => {
	if (!hasOpenssl()) context.skip(MISSING_OPENSSL);
	const authority = new CertificateAuthority();
	const keystore = join(temporaryDirectory(), "broker.pem");
	const names = Array.from({ length: RELOADS + 1 }, (_, index) => `broker-${index}`);
	const made = names.map((name) => readFileSync(authority.issue(`/CN=${name}`).keystore));
	replaceFile(keystore, made[0] as Buffer);
	const broker = await BrokerProcess.start({
		flags: ["--kafka-security-protocol", "SSL", "--ssl-keystore-location", keystore],
	});
	const ca = readFileSync(authority.file);
	const secureSocket = async () => {
		const socket = connectTls({ port: portOf(broker), host: "localhost", ca });
		await once(socket, "secureConnect");
		return socket;
	};
	/** Whose certificate a new connection is shown. */
	const shown = async () => {
		const socket = await secureSocket();
		const { CN } = socket.getPeerCertificate().subject;
		socket.destroy();
		return CN;
	};
	const { loads } = await startLoad(broker, secureSocket);
	for (const [index, name] of names.entries()) {
		replaceFile(keystore, made[index] as Buffer);
		broker.signal("SIGHUP");
		await expect.poll(shown).toBe(name);
		await Promise.all(loads.map((load) => load.goesOn()));
	}
	await Promise.all(loads.map((load) => load.stop()));
	const { code, stderr } = await broker.stop();
	expect([code, errorsIn(stderr)]).toEqual([0, []]);
});

test("the configuration is read again and again under load", async () => {
	const file = join(temporaryDirectory(), "millrace.yaml");
	writeFileSync(file, "");
	const broker = await BrokerProcess.start({ flags: ["--config", file] });
	const { client, loads } = await startLoad(broker, () => plainSocket(broker));
	const retention = async () => {
		const { configs } = await client.topics.describe(TOPIC);
		return configs.find(({ name }) => name === "retention.ms")?.value;
	};
	for (let hours = 1; hours <= RELOADS; hours++) {
		writeFileSync(file, `log.retention.hours: ${hours}\nlog.levels: [kafka=warn]\n`);
		// More than one at a time is asked for, too.
		for (let count = 0; count < hours; count++) broker.signal("SIGHUP");
		await expect.poll(retention).toBe(`${hours * 3_600_000}`);
		await Promise.all(loads.map((load) => load.goesOn()));
	}
	await Promise.all(loads.map((load) => load.stop()));
	const { code, stderr } = await broker.stop();
	expect([code, errorsIn(stderr)]).toEqual([0, []]);
});

test("a stop under load loses nothing that was acknowledged", async () => {
	let broker = await BrokerProcess.start();
	const { dataDir } = broker;
	const { client, loads } = await startLoad(broker, () => plainSocket(broker));
	const producer = client.producer<number>({ deliveryTimeoutMs: 60_000 });
	const sent: Promise<unknown>[] = [];
	const acked: number[] = [];
	const send = (value: number) => {
		const ack = producer.send({ topic: TOPIC, value }).then(({ offset }) => acked.push(offset));
		// What the stop cuts off may fail when the client is closed.
		sent.push(ack.catch(() => undefined));
	};
	for (let value = 0; value < 50; value++) send(value);
	await Promise.all(loads.map((load) => load.goesOn()));
	const ending = broker.stop();
	for (let value = 50; value < 100; value++) send(value);
	expect((await ending).code).toBe(0);
	await Promise.all(loads.map(({ done }) => done));
	const before = [...loads.flatMap((load) => load.acked), ...acked];
	broker = await BrokerProcess.start({ dataDir });
	const reader = await connect(broker.url);
	onTestFinished(() => reader.close());
	const stored = new Set<number>();
	const consumer = reader.consumer({
		topics: TOPIC,
		codec: "bytes",
		from: "earliest",
		until: "end",
	});
	for await (const { offset } of consumer) stored.add(offset);
	expect(before.length).toBeGreaterThan(CLIENTS);
	expect(before.filter((offset) => !stored.has(offset))).toEqual([]);
	await client.close();
	await Promise.all(sent);
	expect((await broker.stop()).code).toBe(0);
});
