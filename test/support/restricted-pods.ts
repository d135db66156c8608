/** An ordinary user; no image of the tests needs one that it knows. */
const APP_UID = 1000;

type Fields = Readonly<Record<string, unknown>>;

/**
 * An object, or a list of them, whose pods pass PodSecurity `restricted`: what they do not say of their security context is
 * said for them. What a test says itself stays, also where the level refuses it.
 */
export function withRestrictedPods(manifest: unknown): unknown {
  if (Array.isArray(manifest)) return manifest.map(withRestrictedPods);
  if (!isFields(manifest) || !isFields(manifest.spec)) return manifest;
  if (manifest.kind === 'Pod') return { ...manifest, spec: restrictedSpec(manifest.spec) };
  const { template } = manifest.spec;
  if (!isFields(template) || !isFields(template.spec)) return manifest;
  return { ...manifest, spec: { ...manifest.spec, template: { ...template, spec: restrictedSpec(template.spec) } } };
}

function restrictedSpec(spec: Fields): Fields {
  const containers = (value: unknown): unknown => (Array.isArray(value) ? value.map(restrictedContainer) : value);
  return {
    ...spec,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: APP_UID,
      seccompProfile: { type: 'RuntimeDefault' },
      ...fieldsOf(spec.securityContext),
    },
    containers: containers(spec.containers),
    ...(spec.initContainers === undefined ? {} : { initContainers: containers(spec.initContainers) }),
  };
}

function restrictedContainer(container: unknown): unknown {
  if (!isFields(container)) return container;
  const own = fieldsOf(container.securityContext);
  const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] }, ...own };
  return { ...container, securityContext };
}

function fieldsOf(value: unknown): Fields {
  return isFields(value) ? value : {};
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
