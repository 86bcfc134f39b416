/**
 * What secures the listeners of a broker: its users, its certificates, the tokens that it takes,
 * and who guesses at them.
 */
import { type Clock, systemClock } from "../clock.ts";
import type { BrokerConfig } from "../config/options.ts";
import type { OpenedMetadata } from "../metadata/metadata-writer.ts";
import { Authentication } from "./authentication.ts";
import { FailedAttempts } from "./failed-attempts.ts";
import { LoginLog, type LoginLogSink } from "./login-log.ts";
import { isTlsUsed, type SaslMechanismName } from "./options.ts";
import type { SaslMechanism } from "./sasl/mechanism.ts";
import { oauthbearerMechanism } from "./sasl/oauthbearer.ts";
import { plainMechanism } from "./sasl/plain.ts";
import { scramMechanism } from "./sasl/scram.ts";
import { Tickets } from "./tickets.ts";
import type { TlsFiles, TlsLog } from "./tls.ts";
import type { TokenKeysLog } from "./token-keys.ts";
import type { TokenVerifier } from "./tokens.ts";
import { Users } from "./users.ts";

export class Security {
	readonly users: Users;
	readonly failures: FailedAttempts;
	readonly tickets = new Tickets(systemClock);
	/** Null where no listener uses TLS. */
	readonly tls: TlsFiles | null;
	/** Null where no tokens are taken. */
	readonly tokens: TokenVerifier | null;
	readonly #config: BrokerConfig;

	private constructor(
		config: BrokerConfig,
		parts: Pick<Security, "users" | "failures" | "tls" | "tokens">,
	) {
		this.#config = config;
		this.failures = parts.failures;
		this.users = parts.users;
		this.tls = parts.tls;
		this.tokens = parts.tokens;
	}

	/**
	 * Rejects with OptionFileError for certificates that cannot be used, or as `Users.open`. `clock`
	 * is what logins wait by; what was issued elsewhere, and tickets, expire by the system's.
	 */
	static async open(
		config: BrokerConfig,
		opened: OpenedMetadata,
		clock: Clock,
		log: TlsLog & TokenKeysLog & LoginLogSink,
	): Promise<Security> {
		const users = Users.open(opened, clock);
		const needsTokens = config.saslOauthbearerJwksEndpointUrl !== "";
		const security = new Security(config, {
			users,
			failures: new FailedAttempts(clock),
			tls: isTlsUsed(config) ? await openTls(config, log) : null,
			tokens: needsTokens ? await openTokens(config, log) : null,
		});
		const logins = new LoginLog(log, clock);
		security.failures.onRefused((login) => logins.refused(login));
		return security;
	}

	/** How Kafka clients may say who they are, by name. */
	mechanisms(): ReadonlyMap<string, SaslMechanism> {
		const { saslEnabledMechanisms } = this.#config;
		const mechanisms = saslEnabledMechanisms.map((name) => this.#mechanism(name));
		return new Map(mechanisms.map((mechanism) => [mechanism.name, mechanism]));
	}

	/** What finds out who WebSocket clients are. */
	authentication(): Authentication {
		const { users, tokens, tickets, failures } = this;
		const reauthMsMax = this.#config.connectionsMaxReauthMs;
		return new Authentication({
			users,
			verifyToken: tokens === null ? null : (token) => tokens.verify(token),
			tickets,
			failures,
			clock: systemClock,
			reauthMsMax,
		});
	}

	#mechanism(name: SaslMechanismName): SaslMechanism {
		switch (name) {
			case "PLAIN":
				return plainMechanism(this.users);
			case "OAUTHBEARER":
				return oauthbearerMechanism(this.tokens as TokenVerifier);
			default:
				return scramMechanism(name, this.users);
		}
	}

	/** Watches nothing any more, and drops the logins that wait. */
	close(): void {
		this.failures.close();
		this.users.close();
		this.tls?.close();
		this.tokens?.close();
	}
}

/** Loaded only where it is used: a start is the quicker for it. */
async function openTls(config: BrokerConfig, log: TlsLog): Promise<TlsFiles> {
	const { TlsFiles } = await import("./tls.ts");
	return TlsFiles.open(config, log);
}

async function openTokens(config: BrokerConfig, log: TokenKeysLog): Promise<TokenVerifier> {
	const { TokenVerifier } = await import("./tokens.ts");
	return TokenVerifier.open(config, systemClock, log);
}
