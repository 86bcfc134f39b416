/** WebSocket and HTTP over TLS: certificates of both sides, and other ones while it runs. */
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { connect as connectTls } from "node:tls";
import { afterEach, beforeAll, describe, expect, test } from "vitest";

import { type Client, connect, type TlsOptions } from "../../src/client/index.ts";
import { atEndOfSuite, BrokerProcess, runCommand } from "../broker-process.ts";
import { type Certificate, CertificateAuthority, replaceFile } from "../certificates.ts";
import { hasOpenssl } from "../optional-parts.ts";
import { RawClient } from "../websocket/raw-client.ts";

describe.runIf(hasOpenssl())("a broker over wss", () => {
	const atEnd = atEndOfSuite();
	const clients: Client[] = [];
	let authority: CertificateAuthority;
	let strangers: CertificateAuthority;
	let keystore: string;

	beforeAll(() => {
		authority = new CertificateAuthority(atEnd);
		strangers = new CertificateAuthority(atEnd, "Others");
		keystore = authority.issue("/CN=broker").keystore;
	});

	afterEach(async () => {
		for (const client of clients.splice(0)) await client.close();
	});

	const ca = () => readFileSync(authority.file, "utf8");

	const startWith = (...flags: string[]) =>
		BrokerProcess.start({
			flags: [
				...["--ssl-keystore-location", keystore, "--websocket-security-protocol", "SSL"],
				...flags,
			],
		});

	async function connected(broker: BrokerProcess, tls: TlsOptions): Promise<Client> {
		const client = await connect(broker.url, { tls });
		clients.push(client);
		return client;
	}

	function shown({ certificateFile, keyFile }: Certificate): TlsOptions {
		const [cert, key] = [certificateFile, keyFile].map((file) => readFileSync(file, "utf8"));
		return { ca: ca(), cert: cert as string, key: key as string };
	}

	/** The name in the certificate that new connections get. */
	function servedName(broker: BrokerProcess): Promise<unknown> {
		return new Promise((resolve, reject) => {
			const options = { port: broker.port, host: "127.0.0.1", ca: ca(), servername: "localhost" };
			const socket = connectTls(options, () => {
				resolve(socket.getPeerCertificate().subject.CN);
				socket.destroy();
			});
			socket.on("error", reject);
		});
	}

	test("serves clients that trust its certificate, and HTTP beside them", async () => {
		const broker = await startWith();
		expect(broker.url).toMatch(/^wss:/);
		expect(broker.http).toMatch(/^https:/);
		const client = await connected(broker, { ca: ca() });
		await client.topics.create("t");
		const producer = client.producer();
		await producer.send({ topic: "t", value: "x".repeat(500_000) });
		const consumer = client.consumer<string>({ topics: ["t"], from: "earliest" });
		for await (const { value } of consumer) {
			expect(value?.length).toBe(500_000);
			break;
		}
		const list = ["topic", "list", "--url", broker.url];
		const command = await runCommand([...list, "--tls-ca", authority.file]);
		expect(command.stdout.toString()).toContain("t");
		expect(await runCommand(list)).toMatchObject({ code: 3 });
		expect(await runCommand([...list, "--tls-ca", "/none"])).toMatchObject({ code: 2 });
		await expect(connect(broker.url)).rejects.toMatchObject({ code: "CONNECTION_LOST" });
		const plain = broker.url.replace("wss:", "ws:");
		await expect(connect(plain)).rejects.toMatchObject({ code: "CONNECTION_LOST" });
		const status = await new Promise((resolve, reject) => {
			request(`${broker.http}/live`, { ca: ca() }, (response) => resolve(response.statusCode))
				.on("error", reject)
				.end();
		});
		expect(status).toBe(200);
		// Who holds a connection without shaking hands holds up no stop.
		const silent = (await import("node:net")).connect(broker.port, "127.0.0.1");
		await new Promise((resolve) => silent.on("connect", resolve));
		silent.on("error", () => undefined);
		expect(await broker.stop()).toMatchObject({ code: 0 });
	});

	test("knows clients by their certificates, and serves nobody else", async () => {
		const broker = await startWith(
			...["--ssl-truststore-location", authority.file, "--ssl-client-auth", "required"],
			...["--authorization-enable", "true", "--super-users", "User:CN=alice,O=Example"],
		);
		const alice = await connected(broker, shown(authority.issue("/O=Example/CN=alice")));
		await alice.topics.create("t");
		const bob = await connected(broker, shown(authority.issue("/O=Example/CN=bob")));
		await expect(bob.topics.describe("t")).rejects.toMatchObject({
			code: "TOPIC_AUTHORIZATION_FAILED",
		});
		const status = (name: string) =>
			new Promise((resolve, reject) => {
				const options = shown(authority.issue(`/O=Example/CN=${name}`));
				request(`${broker.http}/v1/topics/t`, options, ({ statusCode }) => resolve(statusCode))
					.on("error", reject)
					.end();
			});
		expect([await status("alice"), await status("bob")]).toEqual([200, 403]);
		for (const tls of [{ ca: ca() }, shown(strangers.issue("/O=Example/CN=alice"))]) {
			await expect(connect(broker.url, { tls })).rejects.toMatchObject({
				code: "CONNECTION_LOST",
			});
		}
		const { certificateFile, keyFile } = authority.issue("/O=Example/CN=alice");
		const command = ["topic", "list", "--url", broker.url, "--tls-ca", authority.file];
		const own = ["--tls-cert", certificateFile, "--tls-key", keyFile];
		expect((await runCommand([...command, ...own])).stdout.toString()).toContain("t");
	});

	test("with certificates requested, takes none or a good one", async () => {
		const broker = await startWith(
			...["--ssl-truststore-location", authority.file, "--ssl-client-auth", "requested"],
		);
		await connected(broker, { ca: ca() });
		await connected(broker, shown(authority.issue("/CN=alice")));
		await expect(
			connect(broker.url, { tls: shown(strangers.issue("/CN=alice")) }),
		).rejects.toMatchObject({ code: "CONNECTION_LOST" });
	});

	test("gets another certificate while it runs, and keeps it when the next is none", async () => {
		const broker = await startWith();
		const before = await RawClient.open(broker.url, { ca: ca() });
		await before.answer(1, 1, { client: "test" });
		const reload = async (content: string, name: string, counted: RegExp) => {
			replaceFile(keystore, content);
			broker.signal("SIGHUP");
			const scrape = () =>
				new Promise<string>((resolve, reject) => {
					request(`${broker.http}/metrics`, { ca: ca() }, async (response) => {
						resolve((await response.toArray()).join(""));
					})
						.on("error", reject)
						.end();
				});
			await expect.poll(() => servedName(broker)).toBe(name);
			await expect.poll(scrape).toMatch(counted);
		};
		expect(await servedName(broker)).toBe("broker");
		await reload(
			readFileSync(authority.issue("/CN=renewed").keystore, "utf8"),
			"renewed",
			/^millrace_certificate_reload_failures_total 0$/m,
		);
		await reload("no certificate", "renewed", /^millrace_certificate_reload_failures_total 1$/m);
		await before.ping();
		const after = await RawClient.open(broker.url, { ca: ca() });
		await after.answer(1, 1, { client: "test" });
		expect((await broker.stop()).stderr).toContain("certificates cannot be used");
	});
});
