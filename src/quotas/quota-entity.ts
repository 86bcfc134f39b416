/** Whom a quota is for. */

/** Null: everybody for whom there is no quota by name. Absent: whatever it is. */
export interface QuotaEntity {
	readonly user?: string | null;
	readonly clientId?: string | null;
}

/** Tells entities apart. */
export function entityKey({ user, clientId }: QuotaEntity): string {
	return JSON.stringify([user === undefined ? [] : user, clientId === undefined ? [] : clientId]);
}

/** An entity that a client falls under, and with whom it shares what that entity may do. */
export interface QuotaLevel {
	readonly key: string;
	readonly entity: QuotaEntity;
	/** The same for all clients that are counted together. */
	readonly sharedBy: QuotaEntity;
}

/** The entities that a client falls under, those first that win, as in Kafka. */
export function levelsOf(user: string, clientId: string): QuotaLevel[] {
	const both = { user, clientId };
	const level = (entity: QuotaEntity, sharedBy: QuotaEntity): QuotaLevel => ({
		key: entityKey(entity),
		entity,
		sharedBy,
	});
	return [
		level(both, both),
		level({ user, clientId: null }, both),
		level({ user }, { user }),
		level({ user: null, clientId }, both),
		level({ user: null, clientId: null }, both),
		level({ user: null }, { user }),
		level({ clientId }, { clientId }),
		level({ clientId: null }, { clientId }),
	];
}

/** For people: `user alice, client-id (default)`. */
export function describeEntity({ user, clientId }: QuotaEntity): string {
	const parts: string[] = [];
	if (user !== undefined) parts.push(`user ${user ?? "(default)"}`);
	if (clientId !== undefined) parts.push(`client-id ${clientId ?? "(default)"}`);
	return parts.join(", ");
}
