/**
 * The configuration of a broker that runs: what it was started with, in which the dynamic options
 * change when the file is read again, and when somebody sets them, which wins.
 */
import { InOrder } from "../in-order.ts";
import { TopicDefaults } from "../topics/topic-defaults.ts";
import { checkRelations, type LoadedConfig } from "./load.ts";
import {
	type BrokerConfig,
	OPTIONS,
	type Option,
	type OptionKey,
	TOPIC_DEFAULT_OPTIONS,
} from "./options.ts";
import { type ConfigOverrides, NO_OVERRIDES, overrideOf } from "./overrides.ts";
import { formatWritten, parseWritten } from "./values.ts";

/** Told when a dynamic option, or a default of topics, has another value; may take its time. */
type Listener = () => void | Promise<void>;

/** What became of a configuration that was read again, by option names. */
export interface Reloaded {
	readonly changed: readonly string[];
	/** What differs from what runs, and does until the next start. */
	readonly needRestart: readonly string[];
}

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

const KEYS = Object.keys(OPTIONS) as readonly OptionKey[];

export class LiveConfig {
	/**
	 * What is in force: one object for as long as the broker runs, so that whoever reads a dynamic
	 * option of it when it is needed has the value of that moment.
	 */
	readonly config: BrokerConfig;
	/**
	 * Changes have their turns here: what was found to go together is in force before anything else
	 * changes.
	 */
	readonly changes = new InOrder();
	readonly #values: Mutable<BrokerConfig>;
	/** What flags, environment and file say now. */
	#loaded: BrokerConfig;
	#overrides: ConfigOverrides = NO_OVERRIDES;
	#topicDefaults: TopicDefaults;
	#failedReloadCount = 0;
	readonly #listeners = new Map<keyof BrokerConfig, Listener[]>();

	constructor({ config }: Pick<LoadedConfig, "config">) {
		this.#loaded = config;
		this.#values = { ...config };
		this.config = this.#values;
		this.#topicDefaults = new TopicDefaults(config.topicDefaults);
	}

	/** What was set while the broker ran. */
	get overrides(): ConfigOverrides {
		return this.#overrides;
	}

	/** What topics have that do not set it themselves. */
	get topicDefaults(): TopicDefaults {
		return this.#topicDefaults;
	}

	/** How often a configuration that was read again could not be used. */
	get failedReloadCount(): number {
		return this.#failedReloadCount;
	}

	/** What the broker has of an option where nothing was set for it, as it would be written. */
	loadedText(key: OptionKey): string {
		return formatWritten((OPTIONS[key].dynamic === true ? this.#loaded : this.config)[key]);
	}

	/** Calls `listener` whenever the option has changed, after all that changed together have. */
	onChange(key: keyof BrokerConfig, listener: Listener): void {
		this.#listeners.set(key, [...(this.#listeners.get(key) ?? []), listener]);
	}

	/**
	 * Takes over what has changed of the dynamic options; resolves when all of it is in force.
	 * Rejects with what `read` does, and with ConfigError, having changed nothing, where it does not
	 * go together with what was set while the broker ran, or with what needs a restart.
	 */
	async reload(read: () => Promise<Pick<LoadedConfig, "config">>): Promise<Reloaded> {
		try {
			const loaded = await read();
			return await this.changes.run(() => this.#take(loaded));
		} catch (error) {
			this.#failedReloadCount++;
			throw error;
		}
	}

	async #take({ config }: Pick<LoadedConfig, "config">): Promise<Reloaded> {
		const needRestart = KEYS.filter(
			(key) => OPTIONS[key].dynamic !== true && differ(config[key], this.config[key]),
		).map((key) => OPTIONS[key].name);
		return { changed: await this.#put(config, this.#overrides), needRestart };
	}

	/**
	 * Takes over what was set while the broker ran, which has to be values of dynamic options;
	 * resolves when all of it is in force. Rejects as `checkOverrides` throws.
	 */
	async override(overrides: ConfigOverrides): Promise<void> {
		await this.#put(this.#loaded, overrides);
	}

	/** Throws ConfigError where all that would be in force does not go together. */
	checkOverrides(overrides: ConfigOverrides): void {
		checkRelations(this.#resulting(this.#loaded, overrides));
	}

	/** What would be in force, but for the defaults of topics. */
	#resulting(loaded: BrokerConfig, overrides: ConfigOverrides): BrokerConfig {
		const values = { ...this.config };
		for (const key of KEYS) {
			const option: Option<unknown> = OPTIONS[key];
			if (option.dynamic !== true) continue;
			const text = overrideOf(overrides, option.name);
			const value = text === undefined ? loaded[key] : parseWritten(option.schema, text);
			Object.assign(values, { [key]: value });
		}
		return values;
	}

	/** Resolves to the names of the options that have changed. */
	async #put(loaded: BrokerConfig, overrides: ConfigOverrides): Promise<string[]> {
		const next = this.#resulting(loaded, overrides);
		checkRelations(next);
		const changed: string[] = [];
		const listeners: Listener[] = [];
		for (const key of KEYS) {
			if (!differ(next[key], this.config[key])) continue;
			Object.assign(this.#values, { [key]: next[key] });
			changed.push(OPTIONS[key].name);
			listeners.push(...(this.#listeners.get(key) ?? []));
		}
		const defaults = TOPIC_DEFAULT_OPTIONS.map(({ name }) => name).filter(
			(name) =>
				loaded.topicDefaults.get(name) !== this.#loaded.topicDefaults.get(name) ||
				overrides.broker.get(name) !== this.#overrides.broker.get(name) ||
				overrides.cluster.get(name) !== this.#overrides.cluster.get(name),
		);
		this.#loaded = loaded;
		this.#overrides = overrides;
		if (defaults.length > 0) {
			this.#values.topicDefaults = loaded.topicDefaults;
			this.#topicDefaults = new TopicDefaults(loaded.topicDefaults, overrides);
			listeners.push(...(this.#listeners.get("topicDefaults") ?? []));
		}
		await Promise.all(listeners.map((listener) => listener()));
		return [...changed, ...defaults];
	}
}

function differ(left: unknown, right: unknown): boolean {
	return formatWritten(left) !== formatWritten(right);
}
