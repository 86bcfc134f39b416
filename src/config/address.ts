import { isIP } from "node:net";

/** A host and a port to listen on; port 0 picks a free one. */
export interface Address {
	readonly host: string;
	readonly port: number;
}

/** Whether only this machine reaches what listens there. */
export function isLoopback({ host }: Address): boolean {
	return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** `HOST:PORT`, IPv6 hosts in brackets, as options have it. */
export function formatAddress({ host, port }: Address): string {
	return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
