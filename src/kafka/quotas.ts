/** The entities of quotas as Kafka's requests name them. */
import { isIP } from "node:net";

import { MillraceError } from "../errors.ts";
import type { QuotaEntity } from "../quotas/quota-entity.ts";
import { cut } from "./codes.ts";

const ENTITY_TYPES: readonly string[] = ["user", "client-id", "ip"];

export const isEntityType = (type: string): boolean => ENTITY_TYPES.includes(type);

/** The types and names of an entity. */
export function componentsOf({ user, clientId }: QuotaEntity): [string, string | null][] {
	const components: [string, string | null][] = [];
	if (user !== undefined) components.push(["user", user]);
	if (clientId !== undefined) components.push(["client-id", clientId]);
	return components;
}

/** The names of an entity by their types. */
export type NamedEntity = ReadonlyMap<string, string | null>;

/** What a request names; of a type that stands there twice the last one counts, as in Kafka. */
export function namedEntity(
	components: readonly { readonly entityType: string; readonly entityName: string | null }[],
): NamedEntity {
	return new Map(components.map(({ entityType, entityName }) => [entityType, entityName]));
}

/** Throws what the client is told. */
export function entityOf(names: NamedEntity): QuotaEntity {
	for (const [entityType, entityName] of names) {
		if (!isEntityType(entityType))
			throw invalid(`Unhandled client quota entity type: ${entityType}`);
		if (entityName === "") throw invalid(`Empty ${entityType} not supported`);
	}
	if (names.has("ip")) throw refusedAddress(names);
	const [user, clientId] = [names.get("user"), names.get("client-id")];
	return {
		...(user === undefined ? {} : { user }),
		...(clientId === undefined ? {} : { clientId }),
	};
}

function refusedAddress(names: NamedEntity): MillraceError {
	const address = names.get("ip") ?? null;
	if (names.size > 1) {
		return invalid(
			"Invalid quota entity combination, IP entity should not be combined with User or ClientId",
		);
	}
	if (address !== null && isIP(address) === 0) return invalid(`${address} is not a valid IP`);
	return invalid("there are no quotas by address here: they are for users and client ids");
}

function invalid(particular: string): MillraceError {
	return new MillraceError("INVALID_REQUEST", cut(particular));
}
