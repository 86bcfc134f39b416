/** Option values in canonical form that were set while the broker ran, by the options' names. */
export interface ConfigOverrides {
	/** For this broker: they win. */
	readonly broker: ReadonlyMap<string, string>;
	/** For every broker of the cluster. */
	readonly cluster: ReadonlyMap<string, string>;
}

/** For whom a value is set. */
export type OverrideLevel = keyof ConfigOverrides;

/** All of them, the one that wins first. */
export const OVERRIDE_LEVELS = ["broker", "cluster"] as const satisfies readonly OverrideLevel[];

export const NO_OVERRIDES: ConfigOverrides = { broker: new Map(), cluster: new Map() };

/** What was set for an option, if anything. */
export function overrideOf({ broker, cluster }: ConfigOverrides, name: string): string | undefined {
	return broker.get(name) ?? cluster.get(name);
}
