/** quotas.list, .set, .throttled */
import { type CallAnswer, QUOTAS_LISTED_MAX, type QuotaEntry } from "../protocol/calls.ts";
import { entityKey, type QuotaEntity } from "../quotas/quota-entity.ts";
import type { QuotaKey } from "../quotas/quota-keys.ts";
import { checkedQuotaKey, type Quota } from "../quotas/quota-store.ts";
import { type Arguments, invalid } from "./arguments.ts";
import type { AnswerMap, Caller } from "./caller.ts";

/** What is given for a name to mean the default: no user and no client id is nil. */
const DEFAULT = "";

export function listQuotas({ host }: Caller, parameters: Arguments): AnswerMap {
	const after = parameters.optionalString("after");
	const asked = entityFrom(parameters);
	const quotas = host.quotas.store.list().filter(({ entity }) => isOf(entity, asked));
	const rest =
		after === undefined ? quotas : quotas.filter(({ entity }) => entityKey(entity) > after);
	const page = rest.slice(0, QUOTAS_LISTED_MAX);
	const last = page.at(-1);
	const next = last === undefined || page.length === rest.length ? null : entityKey(last.entity);
	return {
		quotas: page.map((quota) => ({ ...entryOf(quota) })),
		next,
	} satisfies CallAnswer<"quotas.list">;
}

export async function setQuotas({ host }: Caller, parameters: Arguments): Promise<AnswerMap> {
	const rates = new Map<QuotaKey, number | null>();
	const map = parameters.optionalMap("rates") ?? invalid("rates", "are missing");
	for (const [name, rate] of Object.entries(map)) {
		if (rate !== null && typeof rate !== "number") invalid(name, "is no number");
		rates.set(checkedQuotaKey(name), rate);
	}
	await host.quotas.store.alter([{ entity: entityFrom(parameters), rates }]);
	return {};
}

export function listThrottled({ host }: Caller): AnswerMap {
	const clients = host.quotas.list().map((client) => ({
		protocol: client.protocol,
		connection: client.connectionId,
		address: client.address,
		user: client.user,
		client_id: client.clientId,
		quota: client.quota,
		rate: client.bound,
		set_for: { ...namesOf(client.entity) },
		left_ms: Math.ceil(client.leftMs),
	}));
	return { clients } satisfies CallAnswer<"quotas.throttled">;
}

function entityFrom(fields: Arguments): QuotaEntity {
	const [user, clientId] = [fields.optionalString("user"), fields.optionalString("client_id")];
	return {
		...(user === undefined ? {} : { user: user === DEFAULT ? null : user }),
		...(clientId === undefined ? {} : { clientId: clientId === DEFAULT ? null : clientId }),
	};
}

/** Whether an entity has what is asked for. */
function isOf(entity: QuotaEntity, asked: QuotaEntity): boolean {
	const isUser = asked.user === undefined || asked.user === entity.user;
	return isUser && (asked.clientId === undefined || asked.clientId === entity.clientId);
}

function entryOf({ entity, rates }: Quota): QuotaEntry {
	return { ...namesOf(entity), rates: Object.fromEntries(rates) };
}

function namesOf({ user, clientId }: QuotaEntity): Omit<QuotaEntry, "rates"> {
	return {
		...(user === undefined ? {} : { user: user ?? DEFAULT }),
		...(clientId === undefined ? {} : { client_id: clientId ?? DEFAULT }),
	};
}
