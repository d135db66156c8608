export const REDIRECT_PROGRAM = `
`;
