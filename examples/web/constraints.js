// Which models may be chosen at all, as `xpert.Constraints` has it: {bases, kinds, licences, min_bytes, max_bytes}, null for anything.

const told = (given) => Object.entries(given).filter(([, value]) => value !== null)
  .map(([name, value]) => `${name}=${Array.isArray(value) ? value.join('|') : value}`).join(', ');

// For each model whether it may be chosen; an error if none may.
export function allowed(models, given) {
  const { bases, kinds, licences, min_bytes: least, max_bytes: most } = given, plain = (licence) => (licence ?? '').toLowerCase();
  const known = licences?.map(plain).filter(Boolean);
  const found = models.map((one) => (!bases || bases.includes(one.base)) && (!kinds || kinds.includes(one.kind))
    && (!known || known.includes(plain(one.licence))) && (least === null || one.bytes >= least) && (most === null || one.bytes <= most));
  if (!found.includes(true)) throw new Error(`constraints: none of the catalog's ${models.length} models has ${told(given)}: allow more`);
  return found;
}
