import { didYouMean } from "../nearest-name.ts";
import { defaultOptionsOf } from "../topics/topic-defaults.ts";
import { ConfigError } from "./errors.ts";
import { ALL_OPTIONS } from "./options.ts";

const NAMES: ReadonlySet<string> = new Set(ALL_OPTIONS.map(({ name }) => name));

/** Throws ConfigError for a name that no option has. */
export function checkOptionNames(given: Iterable<string>): void {
	const problems = [...given].map(unknownOption).filter((problem) => problem !== undefined);
	if (problems.length > 0) throw new ConfigError(problems);
}

/** What to say of a name that no option has; a topic's setting is called otherwise there. */
export function unknownOption(name: string): string | undefined {
	if (NAMES.has(name)) return undefined;
	const options = defaultOptionsOf(name);
	const suggestion =
		options.length > 0
			? `; the default of ${name} is ${options.join(" or ")}`
			: didYouMean(name, NAMES);
	return `there is no option ${name}${suggestion}`;
}
