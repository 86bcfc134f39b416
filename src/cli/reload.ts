import type { Broker } from "../broker.ts";
import { ConfigError } from "../config/errors.ts";
import type { LiveConfig } from "../config/live.ts";
import { type ConfigSources, loadConfig } from "../config/load.ts";
import { InOrder } from "../in-order.ts";
import type { Logger } from "../log.ts";
import type { ServiceNotifier } from "../systemd.ts";

/** What reads the configuration again. */
interface Running {
	readonly broker: Broker;
	readonly service: ServiceNotifier;
}

/**
 * Has a running broker read its configuration file and certificates again at SIGHUP, one time after
 * the other. Flags and environment stay what they were.
 */
export class Reloads {
	readonly #live: LiveConfig;
	readonly #sources: ConfigSources;
	readonly #logger: Logger;
	#running: Running | undefined;
	readonly #reloads = new InOrder();
	#isAsked = false;

	/** From here on SIGHUP ends no process; one that comes during the start is seen to at its end. */
	constructor(live: LiveConfig, sources: ConfigSources, logger: Logger) {
		this.#live = live;
		this.#sources = sources;
		this.#logger = logger;
		if (!process.stdin.isTTY) process.on("SIGHUP", () => this.#ask());
	}

	/** The broker has started. */
	begin(broker: Broker, service: ServiceNotifier): void {
		this.#running = { broker, service };
		if (this.#isAsked) this.#ask();
	}

	#ask(): void {
		const running = this.#running;
		this.#isAsked = true;
		if (running === undefined) return;
		this.#reloads
			.run(() => this.#reload(running))
			.catch((error) => this.#logger.error({ err: error }, "a reload failed"));
	}

	async #reload({ broker, service }: Running): Promise<void> {
		service.reloading(process.hrtime.bigint() / 1_000n);
		let status = `serving at ${broker.addresses.websocket}`;
		try {
			const { changed, needRestart } = await this.#live.reload(() => loadConfig(this.#sources));
			this.#logger.info({ changed }, "the configuration was read again");
			if (needRestart.length > 0) {
				this.#logger.warn({ options: needRestart }, "what has changed of these needs a restart");
			}
		} catch (error) {
			status += "; the configuration could not be used: see the log";
			if (error instanceof ConfigError) {
				const { problems } = error;
				this.#logger.error({ problems }, "the configuration cannot be used: nothing has changed");
			} else {
				this.#logger.error({ err: error }, "the configuration is not in force as a whole");
			}
		}
		await broker.reloadCertificates();
		service.ready(status);
	}
}
