/** clients.list */
import type { WatchedClient } from "../monitoring/client-watch.ts";
import { type CallAnswer, CLIENTS_LISTED_MAX, type ClientDescription } from "../protocol/calls.ts";
import type { Arguments } from "./arguments.ts";
import type { AnswerMap, Caller } from "./caller.ts";

export function listClients({ host }: Caller, parameters: Arguments): AnswerMap {
	const after = parameters.optionalInteger("after", 0, Number.MAX_SAFE_INTEGER) ?? -1;
	const limit = parameters.optionalInteger("limit", 1, CLIENTS_LISTED_MAX) ?? CLIENTS_LISTED_MAX;
	const onlySlow = parameters.boolean("slow", false);
	const found = host
		.listClients()
		.filter(({ id, watch }) => id > after && (!onlySlow || (watch?.slowness ?? null) !== null))
		.sort((left, right) => left.id - right.id);
	const { clock } = host;
	const toWallMs = (monotonicMs: number) =>
		Math.round(clock.wallMs() - (clock.monotonicMs() - monotonicMs));
	return {
		clients: found.slice(0, limit).map((client) => ({ ...describe(client, toWallMs) })),
		more: found.length > limit,
	} satisfies CallAnswer<"clients.list">;
}

function describe(
	client: WatchedClient,
	toWallMs: (monotonicMs: number) => number,
): ClientDescription {
	const slowness = client.watch?.slowness ?? null;
	return {
		id: client.id,
		protocol: client.protocol,
		principal: client.principal,
		client: client.clientName,
		address: client.remoteAddress,
		connected_ms: toWallMs(client.openedMs),
		pending_bytes: client.bufferedBytes,
		lag_records: client.watch?.lagRecords ?? 0,
		slow: slowness && { reason: slowness.reason, since_ms: toWallMs(slowness.sinceMs) },
	};
}
