/**
 * What is wrong with a configuration: a value that an option does not take, a file that cannot be
 * read, an unknown name. Exit code 2.
 */
export class ConfigError extends Error {
	override readonly name = "ConfigError";
	/** Everything that is wrong, each with its place. */
	readonly problems: readonly string[];

	constructor(problems: string | readonly string[], options?: ErrorOptions) {
		const list = typeof problems === "string" ? [problems] : problems;
		super(list.join("\n"), options);
		this.problems = list;
	}
}
