-- What Argo CD shows of an AccessGrant. That one has ended is its normal course; that one waits for a person is no fault.
local health = {
  Active = "Healthy",
  Expired = "Healthy",
  Revoked = "Healthy",
  UsedUp = "Healthy",
  NotYetValid = "Suspended",
  ApprovalPending = "Suspended",
  ApprovalRejected = "Degraded",
  DeniedByPolicy = "Degraded",
  IdentityNotFound = "Degraded",
  EvidenceUnreachable = "Degraded",
  CredentialNotFound = "Degraded",
  CredentialNotConsented = "Degraded",
  CredentialHostNotAllowed = "Degraded",
  NotAccepted = "Degraded",
  ReviewPending = "Progressing",
  RequesterNotAllowed = "Degraded",
}

local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "waiting for the operator to read it" }
end
local ready, accepted
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then ready = condition end
  if condition.type == "Accepted" then accepted = condition end
end
if accepted ~= nil and accepted.status == "False" then
  return { status = "Degraded", message = accepted.reason .. ": " .. (accepted.message or "") }
end
if ready == nil then
  return { status = "Progressing", message = "waiting for the operator to decide" }
end
return {
  status = health[ready.reason] or (ready.status == "True" and "Healthy" or "Progressing"),
  message = ready.reason .. ": " .. (ready.message or ""),
}
