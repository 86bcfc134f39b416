/** The names are those that Java's X500Principal.getName() gives the same certificates. */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

import { subjectName } from "../../src/security/distinguished-name.ts";
import { atEndOfSuite } from "../broker-process.ts";
import { CertificateAuthority } from "../certificates.ts";
import { hasOpenssl } from "../optional-parts.ts";

describe.runIf(hasOpenssl())("the subject of a certificate", () => {
	const authority = new CertificateAuthority(atEndOfSuite());
	test.each([
		["/CN=alice", "CN=alice"],
		[
			"/C=DE/ST=Bayern/L=Ort/O=Example/OU=ops/CN=alice",
			"CN=alice,OU=ops,O=Example,L=Ort,ST=Bayern,C=DE",
		],
		["/DC=org/DC=example/UID=u1", "UID=u1,DC=example,DC=org"],
		['/O=A, B \\+ C/CN=a=b;<c>"d"#e', 'CN=a\\=b\\;\\<c\\>\\"d\\"\\#e,O=A\\, B \\+ C'],
		["/CN= x ", "CN=\\ x\\ "],
		["/CN=#1", "CN=\\#1"],
		["/CN=Zoë Ω", "CN=Zoë Ω"],
		["/O=x/CN=a+OU=b", "CN=a+OU=b,O=x"],
		["/CN=a/emailAddress=a@b.c", "1.2.840.113549.1.9.1=#16056140622e63,CN=a"],
		["/CN=back\\\\slash", "CN=back\\\\slash"],
		["/serialNumber=7/CN=a", "CN=a,2.5.4.5=#130137"],
		["/street=Road 1/CN=a", "CN=a,STREET=Road 1"],
	])("%s is %s", (subject, name) => {
		const { certificateFile } = authority.issue(subject);
		expect(subjectName(new X509Certificate(readFileSync(certificateFile)))).toBe(name);
	});
});
