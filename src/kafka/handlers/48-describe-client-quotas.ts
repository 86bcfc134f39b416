/**
 * DescribeClientQuotas: v0-1.
 *
 * Behavior:
 * - The quotas whose entity has all that the filter names; strict: and nothing else.
 * - There are none by address: a filter of addresses finds nothing.
 *
 * Version notes:
 * - v1: flexible (KIP-482).
 */
import { MillraceError } from "../../errors.ts";
import { CODES } from "../../protocol/codes.ts";
import type { Quota } from "../../quotas/quota-store.ts";
import { checkAllowedOnCluster } from "../access.ts";
import { cut, reportedFailure } from "../codes.ts";
import type { Exchange } from "../exchange.ts";
import {
	DESCRIBE_CLIENT_QUOTAS,
	type DescribeClientQuotasRequest,
	type DescribeClientQuotasRequestComponent,
	type DescribeClientQuotasResponse,
	type DescribeClientQuotasResponseEntry,
} from "../generated/48-describe-client-quotas.ts";
import { componentsOf, isEntityType } from "../quotas.ts";
import { type LongResponse, serveLongApi } from "../turns.ts";

const MATCH = { exact: 0, default: 1, specified: 2 } as const;

/** What an entity has to have of each type: null the default, undefined anything. */
type Filter = ReadonlyMap<string, string | null | undefined>;

/** The length of an array that is null. */
const NO_ENTRIES = -1;

export const describeClientQuotasApi = serveLongApi(DESCRIBE_CLIENT_QUOTAS, "entries", describe);

function describe(
	{ components, strict }: DescribeClientQuotasRequest,
	exchange: Exchange,
): LongResponse<DescribeClientQuotasResponse, "entries"> {
	let quotas: Quota[] = [];
	const elementAt = (index: number) => entryOf(quotas[index] as Quota);
	try {
		checkAllowedOnCluster(exchange);
		const filter = filterOf(components);
		quotas = exchange.host.quotas.store
			.list()
			.filter(({ entity }) => matches(new Map(componentsOf(entity)), filter, strict));
		const rest = { errorCode: CODES.NONE.code, errorMessage: "" };
		return { rest, count: quotas.length, elementAt };
	} catch (error) {
		return { rest: reportedFailure(error, exchange), count: NO_ENTRIES, elementAt };
	}
}

function entryOf({ entity, rates }: Quota): DescribeClientQuotasResponseEntry {
	return {
		entity: componentsOf(entity).map(([entityType, entityName]) => ({ entityType, entityName })),
		values: [...rates].map(([key, value]) => ({ key, value })),
	};
}

/** Throws what the client is told. */
function filterOf(components: readonly DescribeClientQuotasRequestComponent[]): Filter {
	const filter = new Map<string, string | null | undefined>();
	for (const { entityType, matchType, match } of components) {
		if (entityType === "") throw invalid("Invalid empty entity type.");
		if (filter.has(entityType)) {
			throw invalid(`Entity type ${entityType} cannot appear more than once in the filter.`);
		}
		if (!isEntityType(entityType)) {
			throw new MillraceError(
				"UNSUPPORTED_VERSION",
				cut(`Custom entity type '${entityType}' not supported`),
			);
		}
		filter.set(entityType, wanted(matchType, match));
	}
	if (filter.has("ip") && filter.size > 1) {
		throw invalid(
			"Invalid entity filter component combination, IP filter component should not be used with " +
				"User or ClientId filter component.",
		);
	}
	return filter;
}

function wanted(matchType: number, match: string | null): string | null | undefined {
	if (matchType === MATCH.exact) {
		return match ?? invalid("Request specified MATCH_TYPE_EXACT, but set match string to null.");
	}
	if (matchType !== MATCH.default && matchType !== MATCH.specified) {
		throw invalid(`Unknown match type ${matchType}`);
	}
	if (match !== null) throw invalid("Request names what it does not match by name.");
	return matchType === MATCH.default ? null : undefined;
}

function matches(
	entity: ReadonlyMap<string, string | null>,
	filter: Filter,
	strict: boolean,
): boolean {
	if (strict && entity.size !== filter.size) return false;
	return [...filter].every(
		([type, name]) => entity.has(type) && (name === undefined || entity.get(type) === name),
	);
}

function invalid(particular: string): never {
	throw new MillraceError("INVALID_REQUEST", cut(particular));
}
