/** Checks of the files that TLS is spoken with. */
import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";

import { isTlsUsed, type ListenerProtocols, type TlsOptions } from "../../security/options.ts";
import { TlsFiles } from "../../security/tls.ts";
import type { Check } from "./check.ts";

const DAY_MS = 86_400_000;
/** Who renews certificates by hand needs so long. */
const WARNED_DAYS = 14;

const SILENT = { info: () => undefined, error: () => undefined };

/** Whether the broker could serve with these files, and for how long; nothing without TLS. */
export async function checkTls(
	options: TlsOptions & ListenerProtocols,
	nowMs: number,
): Promise<Check[]> {
	if (!isTlsUsed(options)) return [];
	const name = "TLS files";
	try {
		(await TlsFiles.open(options, SILENT)).close();
		const certificate = new X509Certificate(await readFile(options.sslKeystoreLocation));
		return [describeValidity(certificate, nowMs)];
	} catch (error) {
		const found = error instanceof Error ? error.message : String(error);
		const next =
			"name a PEM file that this user can read, with a key, its certificate, and those between " +
			"it and its CA";
		return [{ name, status: "fail", found, next }];
	}
}

/** Clients refuse a certificate outside of its time, whatever else is right. */
function describeValidity(certificate: X509Certificate, nowMs: number): Check {
	const name = "TLS files";
	const [fromMs, toMs] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
	const subject = certificate.subject.replaceAll("\n", ",");
	const found = `${subject} is valid from ${isoTime(fromMs)} to ${isoTime(toMs)}`;
	const renew = "put a new certificate in its place: a running broker takes it without a restart";
	if (nowMs < fromMs) {
		return { name, status: "fail", found, next: "that is to come: is the clock right?" };
	}
	if (nowMs >= toMs) return { name, status: "fail", found: `${found}: over`, next: renew };
	if (nowMs + WARNED_DAYS * DAY_MS >= toMs) return { name, status: "warn", found, next: renew };
	return { name, status: "ok", found };
}

const isoTime = (timeMs: number): string => new Date(timeMs).toISOString();
