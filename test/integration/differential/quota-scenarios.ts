/** Quotas of users and clients, as far as they can be told without waiting. */
import type { Fields } from "../../kafka/client-codec.ts";
import { type Scenario, scenario } from "./scenario.ts";
import type { Session } from "./session.ts";

const EXACT = 0;
const DEFAULT = 1;
const SPECIFIED = 2;

type Entity = readonly (readonly [type: string, name: string | null])[];
type Rates = Readonly<Record<string, number | null>>;

const entityOf = (entity: Entity) =>
	entity.map(([entityType, entityName]) => ({ entityType, entityName }));

function alteration(entity: Entity, rates: Rates) {
	const ops = Object.entries(rates).map(([key, value]) => ({
		key,
		value: value ?? 0,
		remove: value === null,
	}));
	return { entity: entityOf(entity), ops };
}

const alter = (
	session: Session,
	version: number,
	label: string,
	entries: object[],
	validateOnly = false,
) => session.ask("AlterClientQuotas", version, { entries, validateOnly } as never, label);

const component = (entityType: string, matchType: number, match: string | null = null) => ({
	entityType,
	matchType,
	match,
});

let marks = 0;

/**
 * Resolves when the broker shows the quotas and users that were set: Kafka does so a while after it
 * has answered, in the order of the changes, so a quota of nobody's is set, and seen.
 */
export async function untilShown(session: Session): Promise<void> {
	marks += 1;
	const name = `marker-${marks}`;
	const entries = [alteration([["user", name]], { producer_byte_rate: 1_000_000_000 })];
	await session.prepare("AlterClientQuotas", 1, { entries, validateOnly: false } as never);
	await session.untilDone(async () => {
		const asked = { components: [component("user", EXACT, name)], strict: true };
		const shown = await session.prepare("DescribeClientQuotas", 1, asked as never);
		return { errorCode: (shown.entries as readonly Fields[] | null)?.length === 1 ? 0 : -1 };
	});
}

export const quotaScenarios: readonly Scenario[] = [
	scenario({
		api: "DescribeClientQuotas",
		name: "what filters find",
		needs: ["AlterClientQuotas"],
		async run(session, version, id) {
			const user = ["user", id] as const;
			const client = ["client-id", id] as const;
			const anyClient = ["client-id", null] as const;
			await alter(session, 1, "set", [
				alteration([user], { producer_byte_rate: 1_000_000_000 }),
				alteration([user, client], { consumer_byte_rate: 2_000_000_000 }),
				alteration([user, anyClient], { producer_byte_rate: 3_000_000_000 }),
				alteration([client], { producer_byte_rate: 4_000_000_000 }),
			]);
			await untilShown(session);
			const ask = (label: string, strict: boolean, ...components: object[]) =>
				session.ask("DescribeClientQuotas", version, { components, strict } as never, label);
			const ofUser = component("user", EXACT, id);
			await ask("the user alone", true, ofUser);
			await ask("the user and a client", true, ofUser, component("client-id", EXACT, id));
			await ask("the user and the default", true, ofUser, component("client-id", DEFAULT));
			await ask("the client alone", true, component("client-id", EXACT, id));
			await ask("who is not there", false, component("user", EXACT, `${id}-missing`));
			await alter(session, 1, "remove", [
				alteration([user], { producer_byte_rate: null }),
				alteration([user, client], { consumer_byte_rate: null, producer_byte_rate: null }),
				alteration([user, anyClient], { producer_byte_rate: null }),
				alteration([client], { producer_byte_rate: null }),
			]);
			await untilShown(session);
			await ask("what is gone", false, ofUser);
		},
	}),
	scenario({
		api: "DescribeClientQuotas",
		name: "filters that make no sense",
		async run(session, version) {
			const ask = (label: string, ...components: object[]) =>
				session.ask("DescribeClientQuotas", version, { components, strict: false } as never, label);
			await ask("no type", component("", EXACT, "name"));
			await ask("a type that nobody knows", component("team", EXACT, "name"));
			await ask("a type twice", component("user", SPECIFIED), component("user", DEFAULT));
			await ask("no name", component("user", EXACT));
			await ask("a name for the default", component("user", DEFAULT, "name"));
			await ask("a name for any", component("user", SPECIFIED, "name"));
			await ask("a way to match that nobody knows", component("user", 9));
			await ask("an address and a user", component("ip", SPECIFIED), component("user", SPECIFIED));
			await ask("addresses", component("ip", SPECIFIED));
		},
	}),
	scenario({
		api: "AlterClientQuotas",
		name: "what is refused",
		needs: ["DescribeClientQuotas"],
		async run(session, version, id) {
			const user = ["user", id] as const;
			const rates: Rates = { producer_byte_rate: 1_000_000_000 };
			const ask = (label: string, ...entries: object[]) => alter(session, version, label, entries);
			await ask("nothing");
			await ask("nobody", alteration([], rates));
			await ask("a type that nobody knows", alteration([["team", id]], rates));
			await ask("no name", alteration([["user", ""]], rates));
			await ask("a type twice", alteration([user, ["user", null]], rates));
			await ask("to take that back", alteration([["user", null]], { producer_byte_rate: null }));
			await ask("a quota that nobody knows", alteration([user], { bytes: 1 }));
			await ask("a quota of addresses", alteration([user], { connection_creation_rate: 1 }));
			await ask("a part of a byte", alteration([user], { producer_byte_rate: 1.5 }));
			await ask("zero", alteration([user], { producer_byte_rate: 0 }));
			await ask("less than nothing", alteration([user], { producer_byte_rate: -1 }));
			await ask("to remove what is not there", alteration([user], { producer_byte_rate: null }));
			await ask("an address and a user", alteration([["ip", "127.0.0.1"], user], rates));
			await ask("what is no address", alteration([["ip", "no.such.host.invalid"]], rates));
			await ask("of an address", alteration([["ip", "127.0.0.1"]], rates));
			await ask("the same twice", alteration([user], rates), alteration([user], rates));
			await ask(
				"one that is refused beside one that is not",
				alteration([user], { bytes: 1 }),
				alteration([["user", `${id}-2`]], { producer_byte_rate: null }),
			);
			await ask(
				"a good rate beside a bad one",
				alteration([user], { ...rates, consumer_byte_rate: 0.5 }),
			);
			await alter(session, version, "only looked at", [alteration([user], rates)], true);
			await untilShown(session);
			const components = [component("user", EXACT, id)];
			await session.ask(
				"DescribeClientQuotas",
				1,
				{ components, strict: false } as never,
				"what is there",
			);
			await ask("to clean up", alteration([user], { producer_byte_rate: null }));
		},
	}),
	scenario({
		api: "AlterClientQuotas",
		name: "what Kafka alone enforces",
		async run(session, version, id) {
			const user: Entity = [["user", id]];
			for (const key of ["request_percentage", "controller_mutation_rate"]) {
				const set = [alteration(user, { [key]: 1_000 })];
				await alter(session, version, key, set, true);
			}
			const address = [alteration([["ip", "127.0.0.1"]], { connection_creation_rate: 1_000 })];
			await alter(session, version, "connection_creation_rate", address, true);
		},
	}),
];
