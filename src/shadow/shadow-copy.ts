/** A shadow copy: a volume as it was at a point in time. Plain data; JSON-safe. */
export interface ShadowCopy {
	/** A UUID. */
	readonly id: string;
	/** The UUID of the shadow copy set that it was created in. */
	readonly setId: string;
	/** `@GMT-…`: the name of its directory, unique within the volume. */
	readonly name: string;
	/** Milliseconds since 1970, UTC. The name shows the second, or a later one where that was taken. */
	readonly createdAtMs: number;
	readonly attributes: readonly ShadowCopyAttribute[];
}

/** VSS's attribute names (_VSS_VOLUME_SNAPSHOT_ATTRIBUTES), as far as they apply here. */
export type ShadowCopyAttribute =
	/** Survives a restart. */
	| 'persistent'
	/** Shown as a previous version. */
	| 'clientAccessible'
	/** Kept until it is deleted. */
	| 'noAutoRelease'
	/** No writer took part: the content is what a power cut would have left. */
	| 'noWriters'
	/** Kept as differences from the live volume. */
	| 'differential';
