/** Who sits at the other end of a connection: by which name, and on which host. */

import type { Access, Authorizer } from "./authorizer.ts";

/** A name with its kind in front, as Kafka writes it. */
export type Principal = `User:${string}`;

/** Whoever has not said who they are. */
export const ANONYMOUS: Principal = "User:ANONYMOUS";

/** The principal of a user. */
export const userPrincipal = (name: string): Principal => `User:${name}`;

/** One side of a connection as checks of access see it. Anonymous until it is authenticated. */
export class Peer {
	/** The client's address, in the form that access rules name it by; "" where it is not known. */
	readonly host: string;
	readonly #authorizer: Authorizer;
	#principal: Principal = ANONYMOUS;
	#expiresMs: number | undefined;
	#access: Access;

	constructor(address: string, authorizer: Authorizer) {
		this.host = plainAddress(address);
		this.#authorizer = authorizer;
		this.#access = authorizer.accessOf(ANONYMOUS, this.host);
	}

	get principal(): Principal {
		return this.#principal;
	}

	/** When it has to say again who it is, in milliseconds since 1970; undefined: never. */
	get expiresMs(): number | undefined {
		return this.#expiresMs;
	}

	/** Takes over what authentication has found out; what was asked before keeps its answer. */
	become(principal: Principal, expiresMs?: number): void {
		this.#principal = principal;
		this.#expiresMs = expiresMs;
		this.#access = this.#authorizer.accessOf(principal, this.host);
	}

	/** What it may do. */
	get access(): Access {
		return this.#access;
	}
}

const MAPPED = /^(?:::|(?:0+:){5})ffff:(?:(\d+\.\d+\.\d+\.\d+)|([0-9a-f]+):([0-9a-f]+))$/i;

/**
 * An address in its short form (RFC 5952), and as IPv4 where it came through an IPv6 socket. What
 * is no address stays as it is.
 */
export function plainAddress(address: string): string {
	const mapped = MAPPED.exec(address);
	if (mapped !== null) {
		const [, dotted, high = "", low = ""] = mapped;
		if (dotted !== undefined) return dotted;
		const [left, right] = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
		return [left >> 8, left & 0xff, right >> 8, right & 0xff].join(".");
	}
	const isIpv6 = address.includes(":") && URL.canParse(`http://[${address}]`);
	return isIpv6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address;
}
