/** The one broker as clients are told of it. */
import type { Exchange } from "./exchange.ts";

/**
 * Where a client is to connect: what `advertise` names, else the address that it dialled, which is
 * known to work for it.
 */
export function brokerAddress({ host, origin }: Exchange): { host: string; port: number } {
	return host.advertise ?? { host: origin.localAddress, port: origin.localPort };
}
