import { expect, test } from "vitest";

import { NO_AUTHORIZATION } from "../../src/security/authorizer.ts";
import { ANONYMOUS, Peer, plainAddress, userPrincipal } from "../../src/security/principal.ts";

test("a peer is anonymous until it is told who it is", () => {
	const peer = new Peer("::ffff:10.1.2.3", NO_AUTHORIZATION);
	expect(peer.principal).toBe(ANONYMOUS);
	expect(peer.host).toBe("10.1.2.3");
	peer.become(userPrincipal("alice"));
	expect(peer.principal).toBe("User:alice");
});

test.each([
	["127.0.0.1", "127.0.0.1"],
	["::ffff:192.0.2.7", "192.0.2.7"],
	["0000:0000:0000:0000:0000:ffff:c000:0207", "192.0.2.7"],
	["0000:0000:0000:0000:0000:0000:0000:0001", "::1"],
	["2001:0db8:0000:0000:0000:0000:0000:00AA", "2001:db8::aa"],
	["fe80::1%eth0", "fe80::1%eth0"],
	["", ""],
])("the address %j is %j in access rules", (address, plain) => {
	expect(plainAddress(address)).toBe(plain);
});
