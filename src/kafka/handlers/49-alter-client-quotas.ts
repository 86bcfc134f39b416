/**
 * AlterClientQuotas: v0-1.
 *
 * Behavior:
 * - Each entity is changed or refused as a whole; one that is refused holds up no other.
 * - Quotas that Kafka has and Millrace does not enforce are INVALID_REQUEST: nobody is to believe
 *   in them. Beside Kafka's there are Millrace's own (`src/quotas/quota-keys.ts`).
 *
 * Version notes:
 * - v1: flexible (KIP-482).
 */
import { MillraceError } from "../../errors.ts";
import { CODES } from "../../protocol/codes.ts";
import type { QuotaKey } from "../../quotas/quota-keys.ts";
import { checkedQuotaKey, type QuotaChange } from "../../quotas/quota-store.ts";
import { checkAllowedOnCluster } from "../access.ts";
import { serveApi } from "../api.ts";
import { quotas } from "../audited.ts";
import { reportedFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	ALTER_CLIENT_QUOTAS,
	type AlterClientQuotasRequest,
	type AlterClientQuotasRequestEntry,
	type AlterClientQuotasRequestOp,
	type AlterClientQuotasResponse,
} from "../generated/49-alter-client-quotas.ts";
import { entityOf, type NamedEntity, namedEntity } from "../quotas.ts";
import { checkNamedCount } from "../requests.ts";

export const alterClientQuotasApi = serveApi(
	ALTER_CLIENT_QUOTAS,
	alter,
	({ validateOnly }, { entries }) => (validateOnly ? [] : quotas(entries)),
);

async function alter(
	{ entries, validateOnly }: AlterClientQuotasRequest,
	exchange: Exchange,
): Promise<AlterClientQuotasResponse> {
	const { store } = exchange.host.quotas;
	checkNamedCount(entries.length);
	const alterations = entitiesOf(entries).map(async ({ named, requests }) => {
		const entity = [...named].map(([entityType, entityName]) => ({ entityType, entityName }));
		try {
			checkAllowedOnCluster(exchange);
			const [ops, another] = requests;
			if (ops === undefined || another !== undefined) {
				throw new MillraceError("INVALID_REQUEST", "an entity is altered twice");
			}
			const changes = [changeOf(named, ops)];
			if (validateOnly) store.check(changes);
			else await store.alter(changes);
			return { errorCode: CODES.NONE.code, errorMessage: null, entity };
		} catch (error) {
			return { ...reportedFailure(error, exchange), entity };
		}
	});
	return { entries: await Promise.all(alterations) };
}

/** The entities that a request names, each once, with what it wants of them. */
function entitiesOf(entries: readonly AlterClientQuotasRequestEntry[]) {
	const entities = new Map<
		string,
		{ named: NamedEntity; requests: (readonly AlterClientQuotasRequestOp[])[] }
	>();
	for (const { entity, ops } of entries) {
		const named = namedEntity(entity);
		const key = JSON.stringify([...named].sort());
		const found = entities.get(key) ?? { named, requests: [] };
		entities.set(key, found);
		found.requests.push(ops);
	}
	return [...entities.values()];
}

/** Throws what the client is told. */
function changeOf(named: NamedEntity, ops: readonly AlterClientQuotasRequestOp[]): QuotaChange {
	const entity = entityOf(named);
	const rates = new Map<QuotaKey, number | null>();
	for (const op of ops) rates.set(checkedQuotaKey(op.key), rateOf(op));
	return { entity, rates };
}

function rateOf({ key, value, remove }: AlterClientQuotasRequestOp): number | null {
	if (remove) return null;
	// Kafka's own are whole numbers of bytes.
	if (key.endsWith("byte_rate") && !Number.isInteger(value)) {
		throw new MillraceError("INVALID_REQUEST", `Configuration ${key} must be a Long value`);
	}
	return value;
}
