/** What becomes of a client whose certificate is trusted, and cannot be read all the same. */
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { connect } from "node:tls";
import { pino } from "pino";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { TlsSockets } from "../../src/kafka/tls-sockets.ts";
import { TlsFiles } from "../../src/security/tls.ts";
import { atEndOfSuite } from "../broker-process.ts";
import { CertificateAuthority } from "../certificates.ts";
import { hasOpenssl } from "../optional-parts.ts";

describe.runIf(hasOpenssl())("a certificate", () => {
	const authority = new CertificateAuthority(atEndOfSuite());

	test("whose name cannot be read ends its own connection, and nothing else", async () => {
		const options = {
			sslKeystoreLocation: authority.issue("/CN=broker").keystore,
			sslKeyPasswordFile: "",
			sslTruststoreLocation: authority.file,
			sslClientAuth: "required",
		} as const;
		const files = await TlsFiles.open(options, pino({ level: "silent" }));
		const [secured, failed] = [vi.fn(), vi.fn()];
		const sockets = new TlsSockets(files, secured, failed);
		const server = createServer((socket) => sockets.accept(socket)).listen(0, "localhost");
		onTestFinished(() => {
			server.close();
			sockets.close();
			files.close();
		});
		await once(server, "listening");
		const { port } = server.address() as AddressInfo;
		const ca = readFileSync(authority.file);
		const { keyFile, certificateFile } = authority.issue("/CN=alice");
		const shown = { key: readFileSync(keyFile), cert: readFileSync(certificateFile) };
		// A value of two bytes, of which there is none.
		const raw = vi.spyOn(X509Certificate.prototype, "raw", "get");
		raw.mockReturnValue(Buffer.from([0x30, 2]));
		onTestFinished(() => raw.mockRestore());

		const socket = connect({ port, host: "localhost", ca, ...shown });
		await once(socket.resume(), "close");

		const error = new Error("a certificate ends within a value");
		expect(failed).toHaveBeenCalledExactlyOnceWith(error, expect.anything());
		expect(secured).not.toHaveBeenCalled();
	});
});
