/** Certificates as a broker keeps them: read, watched, replaced, refused. */
import { once } from "node:events";
import { promises, readFileSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { connect as connectTls, createServer, type TLSSocket } from "node:tls";
import { describe, expect, onTestFinished, test, vi } from "vitest";

import { OptionFileError, type TlsOptions } from "../../src/security/options.ts";
import { TlsFiles } from "../../src/security/tls.ts";
import { atEndOfSuite, temporaryDirectory } from "../broker-process.ts";
import { CertificateAuthority, replaceFile } from "../certificates.ts";
import { hasOpenssl } from "../optional-parts.ts";

const options = (keystore: string, more: Partial<TlsOptions> = {}): TlsOptions => ({
	sslKeystoreLocation: keystore,
	sslKeyPasswordFile: "",
	sslTruststoreLocation: "",
	sslClientAuth: "none",
	...more,
});

async function opened(files: TlsOptions, pollMs?: number) {
	const log = { info: vi.fn(), error: vi.fn() };
	const tls = await TlsFiles.open(files, log, pollMs);
	onTestFinished(() => tls.close());
	return { tls, log };
}

/** Has the next file that is read come late; others come as ever. */
function holdNextRead(): { readonly begun: Promise<void>; readonly release: () => void } {
	const { readFile } = promises;
	const [begun, released] = [new Deferred(), new Deferred()];
	const restore = () => {
		promises.readFile = readFile;
		syncBuiltinESMExports();
	};
	onTestFinished(restore);
	promises.readFile = (async (path: string) => {
		restore();
		const bytes = await readFile(path);
		begun.resolve();
		await released.promise;
		return bytes;
	}) as typeof readFile;
	syncBuiltinESMExports();
	return { begun: begun.promise, release: () => released.resolve() };
}

class Deferred {
	resolve: () => void = () => undefined;
	readonly promise = new Promise<void>((resolve) => {
		this.resolve = resolve;
	});
}

describe.runIf(hasOpenssl())("certificates", () => {
	const atEnd = atEndOfSuite();
	const authority = new CertificateAuthority(atEnd);

	/** The name on the certificate that a server shows. */
	async function shownBy(port: number): Promise<string> {
		const socket = connectTls({ port, host: "localhost", ca: readFileSync(authority.file) });
		await once(socket, "secureConnect");
		const { CN } = socket.getPeerCertificate().subject;
		socket.destroy();
		return String(CN);
	}

	async function serving(tls: TlsFiles): Promise<number> {
		const server = createServer(tls.context, (socket: TLSSocket) => socket.resume());
		tls.follow(server);
		server.listen(0, "localhost");
		await once(server, "listening");
		onTestFinished(() => void server.close());
		return (server.address() as { port: number }).port;
	}

	test("that have changed are shown to new connections, and broken ones are not", async () => {
		const keystore = join(temporaryDirectory(), "keystore.pem");
		writeFileSync(keystore, readFileSync(authority.issue("/CN=first").keystore));
		const { tls, log } = await opened(options(keystore), 20);
		const port = await serving(tls);
		expect(await shownBy(port)).toBe("first");
		replaceFile(keystore, readFileSync(authority.issue("/CN=second").keystore));
		await expect.poll(() => shownBy(port)).toBe("second");
		replaceFile(keystore, "no certificate");
		await expect.poll(() => tls.failedReloadCount).toBe(1);
		expect(log.error).toHaveBeenCalledTimes(1);
		expect(await shownBy(port)).toBe("second");
		// A key that belongs to another certificate.
		const [key, other] = [authority.issue("/CN=key"), authority.issue("/CN=other")];
		replaceFile(keystore, readFileSync(key.keyFile, "utf8") + readFileSync(other.certificateFile));
		await expect.poll(() => tls.failedReloadCount).toBe(2);
		expect(await shownBy(port)).toBe("second");
		replaceFile(keystore, readFileSync(authority.issue("/CN=third").keystore));
		await expect.poll(() => shownBy(port)).toBe("third");
		expect(tls.failedReloadCount).toBe(2);
	});

	test("are those of now in the end, where two reads overlap", async () => {
		const keystore = join(temporaryDirectory(), "keystore.pem");
		writeFileSync(keystore, readFileSync(authority.issue("/CN=first").keystore));
		const { tls } = await opened(options(keystore), 20);
		const port = await serving(tls);
		const second = readFileSync(authority.issue("/CN=second").keystore);
		const { release, begun } = holdNextRead();
		const slow = tls.reload();
		await begun;
		replaceFile(keystore, second);
		await tls.reload();
		release();
		await slow;
		await expect.poll(() => shownBy(port)).toBe("second");
	});

	test("may have an encrypted key, whose password stays out of the log", async () => {
		const { keystore } = authority.issue("/CN=locked", "open-sesame");
		const password = join(temporaryDirectory(), "password");
		writeFileSync(password, "open-sesame\n");
		const { tls } = await opened(options(keystore, { sslKeyPasswordFile: password }));
		expect(await shownBy(await serving(tls))).toBe("locked");
		await expect(TlsFiles.open(options(keystore), console)).rejects.toThrow(OptionFileError);
		writeFileSync(password, "wrong-word");
		const refused = TlsFiles.open(options(keystore, { sslKeyPasswordFile: password }), console);
		await expect(refused).rejects.not.toThrow(/wrong-word/);
	});

	test.each([
		["a file that is not there", { sslKeystoreLocation: "/nowhere/keystore.pem" }],
		["none at all", { sslKeystoreLocation: "" }],
		["a truststore without certificates", { sslTruststoreLocation: "/dev/null" }],
	])("cannot be %s", async (_, wrong) => {
		const files = options(authority.issue("/CN=good").keystore, wrong);
		await expect(TlsFiles.open(files, console)).rejects.toThrow(OptionFileError);
	});
});
