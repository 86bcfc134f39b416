import { afterAll, beforeAll } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { LiveConfig } from "../../src/config/live.ts";
import { loadConfig } from "../../src/config/load.ts";
import { OverrideStore } from "../../src/config/override-store.ts";
import { ConnectionLimit } from "../../src/connection-limit.ts";
import { GroupCoordinator } from "../../src/groups/coordinator.ts";
import { GroupConfigs } from "../../src/groups/group-configs.ts";
import { KafkaServer } from "../../src/kafka/server.ts";
import { LIMITS } from "../../src/limits.ts";
import { Logs } from "../../src/log.ts";
import { EmbeddedMetadataStore } from "../../src/metadata/embedded-store.ts";
import { MetadataWriter } from "../../src/metadata/metadata-writer.ts";
import { ProducerIds } from "../../src/producer-ids.ts";
import { ClientQuotas } from "../../src/quotas/client-quotas.ts";
import { QuotaStore } from "../../src/quotas/quota-store.ts";
import { AclAuthorizer } from "../../src/security/authorizer.ts";
import { Users } from "../../src/security/users.ts";
import { Storage } from "../../src/storage/storage.ts";
import { TopicCatalogue } from "../../src/topics/catalogue.ts";
import { TopicDefaults } from "../../src/topics/topic-defaults.ts";
import type { Policy } from "../security/policy.ts";

/** A Kafka listener in memory that asks a policy, for all tests of a file. */
export function useGuardedServer(policy: Policy): {
	readonly port: number;
	readonly catalogue: TopicCatalogue;
} {
	const parts: { server?: KafkaServer; catalogue?: TopicCatalogue; stop?: () => Promise<void> } =
		{};
	beforeAll(async () => {
		const live = new LiveConfig(await loadConfig({ flags: { "log-level": "silent" } }));
		const { config } = live;
		const storage = await Storage.open({ dataDir: "", memory: true });
		const opened = await MetadataWriter.open(new EmbeddedMetadataStore(storage));
		const catalogue = await TopicCatalogue.open(storage, opened, {
			partitionsDefault: 1,
			createsAutomatically: true,
			defaults: new TopicDefaults(config.topicDefaults),
			onDeletionFailed: (_, error) => {
				throw error;
			},
		});
		const complain = (details: object, message: string) => {
			throw new Error(`${message}: ${JSON.stringify(details)}`);
		};
		const log = { trace: () => undefined, debug: () => undefined, warn: complain, error: complain };
		const groups = new GroupCoordinator({
			options: { ...config, groupInitialRebalanceDelayMs: 0 },
			configs: GroupConfigs.open(opened, config),
			storage,
			catalogue,
			clock: systemClock,
			log,
		});
		await groups.load();
		const producerIds = new ProducerIds(storage);
		parts.server = await KafkaServer.start({
			address: { host: "127.0.0.1", port: 0 },
			brokerId: 1,
			config,
			overrides: await OverrideStore.open(opened, live, log),
			storage,
			metadata: opened.metadata,
			catalogue,
			groups,
			authorizer: policy,
			users: Users.open(opened),
			quotas: new ClientQuotas(QuotaStore.open(opened), systemClock, {
				samples: config.quotaWindowNum,
				sampleMs: config.quotaWindowSizeSeconds * 1_000,
			}),
			tls: null,
			sasl: null,
			audit: null,
			acls: AclAuthorizer.open(opened, config),
			nextProducerId: () => producerIds.next(),
			connections: new ConnectionLimit(LIMITS.connectionsDefault, systemClock, log),
			clock: systemClock,
			log,
			logs: new Logs(live),
		});
		parts.catalogue = catalogue;
		parts.stop = async () => {
			await groups.close();
			await parts.server?.close();
			await catalogue.close();
			await storage.close();
		};
	});
	afterAll(() => parts.stop?.());
	return {
		get port() {
			return (parts.server as KafkaServer).address.port;
		},
		get catalogue() {
			return parts.catalogue as TopicCatalogue;
		},
	};
}
