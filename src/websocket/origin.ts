/**
 * Who may open a WebSocket or ask over HTTP. Any web page can reach a port on its visitor's
 * machine, and browsers have no same-origin rule for WebSocket; so requests that name an origin are
 * checked before the upgrade, and before anything else over HTTP. A page can also make its own name
 * resolve to this machine: therefore a `Host` that is a name counts only when it is known here,
 * while an IP address cannot be forged that way.
 */
import { isIP } from "node:net";

import type { OriginPolicy } from "../http/http.ts";

/**
 * `known` are hosts by which clients reach the broker. `listed` are origins such as
 * "https://console.example.com"; "*" allows every origin. With `asksWho` HTTP is served at any
 * host: it asks for credentials that no page of another name has.
 */
export function originPolicy(
	known: readonly string[],
	listed: readonly string[],
	asksWho = false,
): OriginPolicy {
	const origins = new Set(listed.map((origin) => origin.toLowerCase()));
	const names = new Set([...known.map((host) => host.toLowerCase()), ...listed.map(hostOfOrigin)]);
	const isKnown = (host: string): boolean => {
		const name = hostName(host);
		return isLoopback(name) || isIP(name) !== 0 || names.has(name);
	};
	return {
		allowsHost: (host) => asksWho || isKnown(host),
		allowsOrigin(origin, host) {
			if (origin === "") return true;
			const lowered = origin.toLowerCase();
			if (origins.has(lowered) || origins.has("*")) return true;
			const authority = authorityOf(lowered);
			if (authority === undefined) return false;
			if (isLoopback(hostName(authority))) return true;
			return authority === host.toLowerCase() && isKnown(host);
		},
	};
}

/**
 * "example.com:8080" of "https://example.com:8080"; undefined for anything that is no web origin.
 */
function authorityOf(origin: string): string | undefined {
	return /^https?:\/\/([^/?#@\s]+)$/.exec(origin)?.[1];
}

function hostOfOrigin(origin: string): string {
	return hostName(authorityOf(origin.toLowerCase()) ?? origin);
}

/** The host of "host", "host:port" or "[address]:port", in small letters. */
function hostName(authority: string): string {
	const bracketed = /^\[([^\]]*)\](?::\d*)?$/.exec(authority);
	return (bracketed?.[1] ?? authority.replace(/:\d*$/, "")).toLowerCase();
}

function isLoopback(name: string): boolean {
	if (name === "localhost" || name.endsWith(".localhost")) return true;
	return name === "::1" || (isIP(name) === 4 && name.startsWith("127."));
}
