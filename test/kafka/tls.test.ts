/** The Kafka protocol over TLS. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectPlain } from "node:net";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { type Broker, type StartBrokerOptions, startBroker } from "../../src/index.ts";
import { atEndOfSuite } from "../broker-process.ts";
import { CertificateAuthority } from "../certificates.ts";
import { hasOpenssl } from "../optional-parts.ts";
import { recordBatch } from "../record-batch.ts";
import { pick } from "./pick.ts";
import { RawKafkaClient } from "./raw-client.ts";
import { kafkaPortOf } from "./use-broker.ts";

describe.runIf(hasOpenssl())("TLS", () => {
	const atEnd = atEndOfSuite();
	let authority: CertificateAuthority;
	let keystore: string;
	beforeAll(() => {
		authority = new CertificateAuthority(atEnd);
		({ keystore } = authority.issue("/CN=broker"));
	});

	async function start(options: Record<string, string> = {}): Promise<Broker> {
		const broker = await startBroker({
			memory: true,
			options: {
				"kafka.security.protocol": "SSL",
				"ssl.keystore.location": keystore,
				...options,
			},
		} satisfies StartBrokerOptions);
		onTestFinished(() => broker.close());
		return broker;
	}

	async function secureSocket(broker: Broker, more: ConnectionOptions = {}): Promise<TLSSocket> {
		const ca = readFileSync(authority.file);
		const socket = connectTls({ port: kafkaPortOf(broker), host: "localhost", ca, ...more });
		onTestFinished(() => void socket.destroy());
		await once(socket, "secureConnect");
		return socket;
	}

	test("carries what is produced and fetched, in large pieces too", async () => {
		const raw = RawKafkaClient.over(await secureSocket(await start()));
		await raw.request("Metadata", 9, { topics: [{ name: "secret" }] });
		const value = Buffer.alloc(700_000, "abcdefg");
		const topicData = [
			{ name: "secret", partitionData: [{ index: 0, records: recordBatch([value]) }] },
		];
		const produce = { transactionalId: null, acks: -1, timeoutMs: 1_000, topicData };
		await raw.request("Produce", 9, produce);
		const answer = await raw.request("Fetch", 12, {
			maxWaitMs: 0,
			minBytes: 1,
			maxBytes: 1_048_576,
			sessionId: 0,
			sessionEpoch: -1,
			topics: [
				{
					topic: "secret",
					partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1 << 20 }],
				},
			],
		});
		const fetched = pick(answer, "responses", 0, "partitions", 0);
		expect(Buffer.from(fetched.records as Uint8Array).includes(value)).toBe(true);
	});

	test("is at least version 1.2", async () => {
		const broker = await start();
		const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "ALL@SECLEVEL=0" } as const;
		await expect(secureSocket(broker, old)).rejects.toThrow();
		expect((await secureSocket(broker, { maxVersion: "TLSv1.2" })).getProtocol()).toBe("TLSv1.2");
	});

	test("answers what is asked before the client ends its side", async () => {
		const socket = await secureSocket(await start(), {
			allowHalfOpen: true,
		} as ConnectionOptions);
		const raw = RawKafkaClient.over(socket);
		const answer = raw.request("ApiVersions", 0);
		socket.end();
		expect((await answer).errorCode).toBe(0);
		await raw.closed;
	});

	test("asks clients for a certificate of the truststore where one is required", async () => {
		const broker = await start({
			"ssl.client.auth": "required",
			"ssl.truststore.location": authority.file,
		});
		const { keyFile, certificateFile } = authority.issue("/CN=alice");
		const shown = { key: readFileSync(keyFile), cert: readFileSync(certificateFile) };
		const raw = RawKafkaClient.over(await secureSocket(broker, shown));
		expect((await raw.request("ApiVersions", 0)).errorCode).toBe(0);
		const without = RawKafkaClient.over(await secureSocket(broker));
		await expect(without.request("ApiVersions", 0)).rejects.toThrow("the connection ended");
		const stranger = new CertificateAuthority().issue("/CN=alice");
		const strange = {
			key: readFileSync(stranger.keyFile),
			cert: readFileSync(stranger.certificateFile),
		};
		const refused = RawKafkaClient.over(await secureSocket(broker, strange));
		await expect(refused.request("ApiVersions", 0)).rejects.toThrow("the connection ended");
	});

	test("takes clients without certificate where one is requested, none with a bad", async () => {
		const broker = await start({
			"ssl.client.auth": "requested",
			"ssl.truststore.location": authority.file,
		});
		const raw = RawKafkaClient.over(await secureSocket(broker));
		expect((await raw.request("ApiVersions", 0)).errorCode).toBe(0);
		const stranger = new CertificateAuthority().issue("/CN=alice");
		const strange = {
			key: readFileSync(stranger.keyFile),
			cert: readFileSync(stranger.certificateFile),
		};
		const refused = RawKafkaClient.over(await secureSocket(broker, strange));
		await expect(refused.request("ApiVersions", 0)).rejects.toThrow("the connection ended");
	});

	test("closes who speaks plain text, and waits for no handshake when it stops", async () => {
		const broker = await start();
		const port = kafkaPortOf(broker);
		const silent = connectPlain({ port, host: "localhost" });
		await once(silent, "connect");
		const plain = connectPlain({ port, host: "localhost" });
		plain.on("error", () => undefined);
		plain.write(Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0, 0]));
		await once(plain, "close");
		const raw = RawKafkaClient.over(await secureSocket(broker));
		expect((await raw.request("ApiVersions", 0)).errorCode).toBe(0);
		const ended = once(silent, "close");
		silent.resume().on("error", () => undefined);
		await broker.close();
		await ended;
	});

	test("gives the places of connections back whose handshakes fail", async () => {
		const options = { "max.connections": "2" };
		const broker = await start(options);
		for (let count = 0; count < 5; count++) {
			const plain = connectPlain({ port: kafkaPortOf(broker), host: "localhost" });
			plain.on("error", () => undefined);
			plain.write("GET / HTTP/1.1\r\n\r\n");
			await once(plain, "close");
		}
		const raw = RawKafkaClient.over(await secureSocket(broker));
		expect((await raw.request("ApiVersions", 0)).errorCode).toBe(0);
	});
});
