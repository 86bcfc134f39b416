/** What can be said about the security of the listeners. */

/** How a listener is secured, by Kafka's names: SSL is TLS, SASL asks clients who they are. */
export const SECURITY_PROTOCOLS = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] as const;
export type SecurityProtocol = (typeof SECURITY_PROTOCOLS)[number];

/** Whether connections are encrypted. */
export const usesTls = (protocol: SecurityProtocol): boolean => protocol.endsWith("SSL");

/** Whether clients are asked who they are. */
export const usesSasl = (protocol: SecurityProtocol): boolean => protocol.startsWith("SASL");

/** How clients of each protocol are talked to. */
export interface ListenerProtocols {
	readonly kafkaSecurityProtocol: SecurityProtocol;
	readonly websocketSecurityProtocol: SecurityProtocol;
}

/** Whether any listener encrypts. */
export const isTlsUsed = (listeners: ListenerProtocols): boolean =>
	usesTls(listeners.kafkaSecurityProtocol) || usesTls(listeners.websocketSecurityProtocol);

/** Ways for Kafka clients to say who they are, by Kafka's names. */
export const SASL_MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] as const;
export type SaslMechanismName = (typeof SASL_MECHANISMS)[number];

/** Those that need nothing but users. */
export const SASL_MECHANISMS_DEFAULT = SASL_MECHANISMS.filter((name) => name !== "OAUTHBEARER");

/** Whether clients show certificates, by Kafka's names. */
export const CLIENT_AUTHS = ["none", "requested", "required"] as const;
export type ClientAuth = (typeof CLIENT_AUTHS)[number];

/** Where certificates are; an empty path is none. */
export interface TlsOptions {
	/** The private key, and the certificate with those between it and its CA. */
	readonly sslKeystoreLocation: string;
	/** Holds what the private key is encrypted with. */
	readonly sslKeyPasswordFile: string;
	/** CAs that clients' certificates have to come from. */
	readonly sslTruststoreLocation: string;
	readonly sslClientAuth: ClientAuth;
}

/** What tokens have to be like; by Kafka's names where Kafka has them. */
export interface TokenOptions {
	/** Where their keys are; "": no tokens are taken. */
	readonly saslOauthbearerJwksEndpointUrl: string;
	readonly saslOauthbearerJwksEndpointRefreshMs: number;
	/** One of them has to be among those that a token is for; none: it may be for nobody else. */
	readonly saslOauthbearerExpectedAudience: readonly string[];
	/** "": any. */
	readonly saslOauthbearerExpectedIssuer: string;
	/** All of them. */
	readonly saslOauthbearerExpectedScope: readonly string[];
	readonly saslOauthbearerClockSkewSeconds: number;
	readonly saslOauthbearerSubClaimName: string;
	readonly saslOauthbearerScopeClaimName: string;
}

/** A file that an option names cannot be used: the start fails with exit code 2. */
export class OptionFileError extends Error {
	override readonly name = "OptionFileError";
}
