/** Certificates for tests, made by openssl when they are needed: no key lies in the repository. */
import { execFileSync } from "node:child_process";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { type AtEnd, temporaryDirectory } from "./broker-process.ts";

/** A certificate with its key. */
export interface Certificate {
	/** PEM: the key, then the certificate. */
	readonly keystore: string;
	/** The same in files of their own, for clients that want them so. */
	readonly keyFile: string;
	readonly certificateFile: string;
}

/** A certificate authority in a directory of its own, removed at the end. */
export class CertificateAuthority {
	readonly directory: string;
	/** The PEM file to trust. */
	readonly file: string;
	#madeCount = 0;

	constructor(atEnd?: AtEnd, name = "Test CA") {
		this.directory = temporaryDirectory(atEnd);
		this.file = join(this.directory, "ca.pem");
		openssl(
			...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
			...["-keyout", join(this.directory, "ca.key"), "-out", this.file],
			...["-days", "2", "-subj", `/CN=${name}`],
		);
	}

	/**
	 * A certificate for a subject such as `/O=Example/CN=alice`, good for servers at localhost and
	 * for clients. With a password the key is encrypted.
	 */
	issue(subject: string, password?: string): Certificate {
		const base = join(this.directory, `made-${this.#madeCount++}`);
		const [keyFile, certificateFile] = [`${base}.key`, `${base}.crt`];
		const encryption = password === undefined ? ["-nodes"] : ["-passout", `pass:${password}`];
		openssl(
			...["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", ...encryption],
			...["-keyout", keyFile, "-out", `${base}.csr`, "-subj", subject, "-utf8"],
			...["-multivalue-rdn"],
		);
		writeFileSync(`${base}.ext`, "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
		openssl(
			...["x509", "-req", "-in", `${base}.csr`, "-out", certificateFile, "-days", "2"],
			...["-CA", this.file, "-CAkey", join(this.directory, "ca.key"), "-CAcreateserial"],
			...["-extfile", `${base}.ext`],
		);
		const keystore = `${base}.pem`;
		writeFileSync(keystore, readFileSync(keyFile, "utf8") + readFileSync(certificateFile, "utf8"));
		return { keystore, keyFile, certificateFile };
	}
}

/** Puts other content in a file's place at one stroke, as those who renew certificates do. */
export function replaceFile(path: string, content: string | Buffer): void {
	writeFileSync(`${path}.next`, content);
	renameSync(`${path}.next`, path);
}

function openssl(...parameters: string[]): void {
	execFileSync("openssl", parameters, { stdio: "pipe" });
}
