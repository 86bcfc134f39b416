/** What two brokers are both asked, and how their answers differ. */
import type { Answer, Outcome, Session } from "./session.ts";

/** A sequence of requests for one API in one version. */
export interface Scenario<Context = unknown> {
	/** The API that it is about, by Kafka's name. */
	readonly api: string;
	readonly name: string;
	/** The first and the last version that it makes sense for; default: all. */
	readonly from?: number;
	readonly to?: number;
	/** Other APIs that it uses: without one of them it is left out. */
	readonly needs?: readonly string[];
	/**
	 * It mostly waits, and neither changes what others see nor looks at what is theirs: its versions
	 * run beside each other, and beside other scenarios that wait.
	 */
	readonly waits?: true;
	/** What all versions share, made once a broker. */
	prepare?(session: Session): Promise<Context>;
	/** `id` is unique for this scenario and version, and the same for both brokers. */
	run(session: Session, version: number, id: string, context: Context): Promise<void>;
}

/** Gives a scenario the type of what it prepares. */
export function scenario<Context>(it: Scenario<Context>): Scenario {
	return it as Scenario;
}

/** One field that two brokers answer differently. */
export interface Difference {
	readonly label: string;
	/** Where it lies in the answer, without the indexes of arrays: "topics[].errorCode". */
	readonly path: string;
	readonly kafka: unknown;
	readonly millrace: unknown;
}

/** Field by field; the same questions were asked in the same order. */
export function compare(kafka: readonly Answer[], millrace: readonly Answer[]): Difference[] {
	const count = Math.max(kafka.length, millrace.length);
	return Array.from({ length: count }, (_, index) => index).flatMap((index) => {
		const [theirs, ours] = [kafka[index], millrace[index]];
		const label = (theirs ?? ours)?.label ?? "";
		return differences(theirs?.outcome, ours?.outcome, "").map(({ path, left, right }) => ({
			label,
			path,
			kafka: left,
			millrace: right,
		}));
	});
}

interface Unequal {
	readonly path: string;
	readonly left: unknown;
	readonly right: unknown;
}

function differences(left: unknown, right: unknown, path: string): Unequal[] {
	if (Array.isArray(left) && Array.isArray(right) && left.length === right.length) {
		return left.flatMap((element, index) => differences(element, right[index], `${path}[]`));
	}
	if (isStruct(left) && isStruct(right)) {
		const names = new Set([...Object.keys(left), ...Object.keys(right)]);
		const prefix = path === "" ? "" : `${path}.`;
		return [...names].flatMap((name) => differences(left[name], right[name], `${prefix}${name}`));
	}
	return JSON.stringify(left) === JSON.stringify(right) ? [] : [{ path, left, right }];
}

const isStruct = (value: unknown): value is Record<string, unknown> =>
	typeof value === "object" && value !== null && !Array.isArray(value);

/** A difference that is meant: which answers it is in, and why. */
export interface KnownDifference {
	/** The API, by Kafka's name. */
	readonly api: string;
	/** Of the scenario; absent: any. */
	readonly scenario?: string;
	/** Of the request in the scenario, as labels end; absent: any. */
	readonly request?: string;
	/** As in `Difference`; "" for a whole answer. */
	readonly path: string;
	/** For the reader of docs/kafka-compatibility.md: what Kafka does, what Millrace does, why. */
	readonly reason: string;
}

/** Whether a difference is one of the known. Labels are "API vN, SCENARIO: ...". */
export function isKnown(difference: Difference, known: KnownDifference): boolean {
	const [, api, name, request] = /^(\w+) v\d+, (.*?): (.*)$/.exec(difference.label) ?? [];
	return (
		api === known.api &&
		(known.scenario === undefined || known.scenario === name) &&
		(known.request === undefined || known.request === request) &&
		difference.path === known.path
	);
}

export type { Outcome };
