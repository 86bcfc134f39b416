/**
 * The certificates of the listeners: PEM files that are read at the start, and again when they
 * have changed. New connections then get what the files hold now; those that are open go on. Files
 * that cannot be used change nothing: they are reported, and counted.
 */
import { createPrivateKey } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { createSecureContext, type SecureContextOptions } from "node:tls";

import { OptionFileError, type TlsOptions } from "./options.ts";

/** Where it is said that certificates were read, or could not be; pino is one. */
export interface TlsLog {
	info(details: object, message: string): void;
	error(details: object, message: string): void;
}

/** A server whose connections from now on can be given another certificate. */
export interface SecuredServer {
	setSecureContext(context: SecureContextOptions): void;
}

/** How often the files are looked at, in milliseconds. */
const POLL_MS = 10_000;

const VERSION_MIN = "TLSv1.2";

/** Rejects with OptionFileError for files that no server can use. */
export async function checkTlsFiles(options: TlsOptions): Promise<void> {
	await readContext(options);
}

export class TlsFiles {
	readonly #options: TlsOptions;
	readonly #log: TlsLog;
	readonly #servers = new Set<SecuredServer>();
	readonly #poll: NodeJS.Timeout;
	#context: SecureContextOptions;
	/** What the files looked like when they were last read. */
	#stamp: string;
	#failedReloadCount = 0;
	#isLooking = false;

	private constructor(
		options: TlsOptions,
		log: TlsLog,
		context: SecureContextOptions,
		stamp: string,
		pollMs: number,
	) {
		this.#options = options;
		this.#log = log;
		this.#context = context;
		this.#stamp = stamp;
		this.#poll = setInterval(() => void this.#reloadIfChanged(), pollMs);
		this.#poll.unref();
	}

	/**
	 * Reads the files and watches them from then on. Rejects with OptionFileError for what no server
	 * can use.
	 */
	static async open(options: TlsOptions, log: TlsLog, pollMs = POLL_MS): Promise<TlsFiles> {
		const stamp = await stampOf(options);
		return new TlsFiles(options, log, await readContext(options), stamp, pollMs);
	}

	/** What a server is made with. */
	get context(): SecureContextOptions & { requestCert: boolean; rejectUnauthorized: boolean } {
		const { sslClientAuth } = this.#options;
		// Who shows a certificate shows a good one: as in Kafka also where none is required.
		return {
			...this.#context,
			requestCert: sslClientAuth !== "none",
			rejectUnauthorized: sslClientAuth === "required",
		};
	}

	/** How often changed files could not be used. */
	get failedReloadCount(): number {
		return this.#failedReloadCount;
	}

	/** Has a server follow changes of the files. */
	follow(server: SecuredServer): void {
		this.#servers.add(server);
	}

	/** Reads the files again; resolves to whether they could be used. */
	async reload(): Promise<boolean> {
		// Of the time before the files are read: what is written meanwhile has another.
		const stamp = await stampOf(this.#options);
		this.#stamp = stamp;
		try {
			const context = await readContext(this.#options);
			// Of two reloads at once the first may be done last, with what the files held before.
			if (this.#stamp === stamp) this.#use(context);
		} catch (error) {
			this.#failedReloadCount++;
			this.#log.error({ err: error }, "certificates cannot be used: those before stay");
			return false;
		}
		this.#log.info({ file: this.#options.sslKeystoreLocation }, "certificates were read again");
		return true;
	}

	/** Looks at the files no more. */
	close(): void {
		clearInterval(this.#poll);
		this.#servers.clear();
	}

	#use(context: SecureContextOptions): void {
		this.#context = context;
		for (const server of this.#servers) server.setSecureContext(context);
	}

	async #reloadIfChanged(): Promise<void> {
		// Where a look takes longer than the time to the next one, one change is not read twice.
		if (this.#isLooking) return;
		this.#isLooking = true;
		if ((await stampOf(this.#options)) !== this.#stamp) await this.reload();
		this.#isLooking = false;
	}
}

function pathsOf(options: TlsOptions): string[] {
	const { sslKeystoreLocation, sslKeyPasswordFile, sslTruststoreLocation } = options;
	return [sslKeystoreLocation, sslKeyPasswordFile, sslTruststoreLocation].filter(
		(path) => path !== "",
	);
}

/** Changes when a file is written, replaced or removed. */
async function stampOf(options: TlsOptions): Promise<string> {
	const stamps = pathsOf(options).map(async (path) => {
		try {
			const { ino, size, mtimeMs } = await stat(path);
			return `${ino} ${size} ${mtimeMs}`;
		} catch (error) {
			return (error as NodeJS.ErrnoException).code ?? "unknown";
		}
	});
	return (await Promise.all(stamps)).join(", ");
}

async function readContext(options: TlsOptions): Promise<SecureContextOptions> {
	const { sslKeystoreLocation, sslKeyPasswordFile, sslTruststoreLocation } = options;
	const keystore = await readPem("ssl.keystore.location", sslKeystoreLocation);
	const isProtected = sslKeyPasswordFile !== "";
	const password = isProtected ? await readPem("ssl.key.password.file", sslKeyPasswordFile) : "";
	const passphrase = password.toString().replace(/\r?\n$/, "");
	const truststore =
		sslTruststoreLocation === ""
			? undefined
			: await readPem("ssl.truststore.location", sslTruststoreLocation);
	if (truststore !== undefined && !truststore.includes("-----BEGIN CERTIFICATE-----")) {
		throw new OptionFileError(
			`ssl.truststore.location: no certificate in ${sslTruststoreLocation}`,
		);
	}
	const context: SecureContextOptions = {
		key: keystore,
		cert: keystore,
		passphrase,
		minVersion: VERSION_MIN,
		...(truststore === undefined ? {} : { ca: truststore }),
	};
	try {
		createPrivateKey({ key: keystore, passphrase });
		createSecureContext(context);
	} catch (cause) {
		const reason = (cause as Error).message;
		throw new OptionFileError(`ssl.keystore.location: ${sslKeystoreLocation}: ${reason}`, {
			cause,
		});
	}
	return context;
}

async function readPem(option: string, path: string): Promise<Buffer> {
	try {
		return await readFile(path);
	} catch (cause) {
		throw new OptionFileError(`${option}: ${(cause as Error).message}`, { cause });
	}
}
