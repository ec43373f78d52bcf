package dev.countersign.ejbca;

import dev.countersign.ejbca.ws.Certificate;
import dev.countersign.ejbca.ws.CertificateResponse;
import dev.countersign.ejbca.ws.EjbcaWS;
import dev.countersign.ejbca.ws.Faults;
import dev.countersign.ejbca.ws.NameAndId;
import dev.countersign.ejbca.ws.UserDataVOWS;
import jakarta.annotation.Resource;
import jakarta.jws.WebService;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.xml.ws.WebServiceContext;
import jakarta.xml.ws.handler.MessageContext;
import java.security.cert.X509Certificate;
import java.util.Base64;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;

/** EJBCA as a client of certificates meets it: end entities with a status, unique subjects and keys, profiles with limits, faults. */
@WebService(
    name = "EjbcaWS",
    serviceName = "EjbcaWSService",
    portName = "EjbcaWSPort",
    targetNamespace = EjbcaWS.NS,
    endpointInterface = "dev.countersign.ejbca.ws.EjbcaWS")
public class EjbcaService implements EjbcaWS {
  @Resource private WebServiceContext context;

  private final Map<String, Authority> authorities;
  private final Registry registry;
  private final Supplier<Behaviour> behaviour;
  private final Enrolment enrolment;

  public EjbcaService(
      Map<String, Authority> authorities, Registry registry, Supplier<Behaviour> behaviour, Enrolment enrolment) {
    this.authorities = authorities;
    this.registry = registry;
    this.behaviour = behaviour;
    this.enrolment = enrolment;
  }

  private HttpServletRequest request() {
    return (HttpServletRequest) context.getMessageContext().get(MessageContext.SERVLET_REQUEST);
  }

  private void authorize() throws Faults.AuthorizationDenied {
    Enrolment.authorize(request());
  }

  @Override
  public CertificateResponse certificateRequest(
      UserDataVOWS user, String requestData, int requestType, String hardTokenSN, String responseType)
      throws Faults.AuthorizationDenied, Faults.NotFound, Faults.UserDoesntFullfill, Faults.Approval, Faults.Ejbca {
    authorize();
    if (user == null || user.username == null || user.username.isBlank())
      throw new Faults.Ejbca("INTERNAL_ERROR", "java.lang.NullPointerException: user data");
    Behaviour now = behaviour.get();
    registry.enter(user.username);
    try {
      enrolment.throwFault(now);
      Enrolment.Made made =
          enrolment.enrol(user, Enrolment.read(requestData, requestType), String.valueOf(responseType), now);
      if (made.isLost()) RawFilter.close(request());
      byte[] data =
          responseType.equals("CERTIFICATE")
              ? made.signed().leaf().getEncoded()
              : Issuance.pkcs7(made.ca(), made.signed().all());
      return new CertificateResponse(responseType, twice(data));
    } catch (Faults.AuthorizationDenied | Faults.NotFound | Faults.UserDoesntFullfill | Faults.Approval | Faults.Ejbca fault) {
      throw fault;
    } catch (RuntimeException e) {
      throw e;
    } catch (Exception e) {
      throw new Faults.Ejbca("INTERNAL_ERROR", e.toString());
    } finally {
      registry.leave(user.username);
    }
  }

  /** Base64 in lines of 64, as bytes, which travel in base64 once more. */
  private static byte[] twice(byte[] bytes) {
    return Base64.getMimeEncoder(64, new byte[] {'\n'}).encode(bytes);
  }

  @Override
  public List<Certificate> findCerts(String username, boolean onlyValid) throws Faults.AuthorizationDenied, Faults.Ejbca {
    authorize();
    return registry.of(username).stream()
        .filter(entry -> !onlyValid || entry.reason < 0 && entry.certificate.getNotAfter().after(new Date()))
        .map(entry -> certificate(entry.certificate))
        .toList();
  }

  private static Certificate certificate(X509Certificate certificate) {
    try {
      return new Certificate(twice(certificate.getEncoded()));
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  @Override
  public List<Certificate> getLastCAChain(String caName)
      throws Faults.AuthorizationDenied, Faults.CADoesntExists, Faults.Ejbca {
    authorize();
    Authority ca = authorities.get(caName);
    if (ca == null) throw new Faults.CADoesntExists("CA_NOT_EXISTS", "CA with name " + caName + " does not exist");
    return ca.chain.stream().map(EjbcaService::certificate).toList();
  }

  @Override
  public void revokeCert(String issuerDN, String serial, int reason)
      throws Faults.AlreadyRevoked, Faults.Approval, Faults.AuthorizationDenied, Faults.CADoesntExists, Faults.Ejbca,
          Faults.NotFound, Faults.WaitingForApproval {
    authorize();
    if (behaviour.get().is("revocation approval")) throw new Faults.WaitingForApproval("Revocation of certificate has been added for approval", 7);
    Registry.Entry entry = registry.find(issuerDN, serial);
    if (entry == null) throw new Faults.NotFound(null, "Certificate with issuer: " + issuerDN + " and serial " + serial + " not found.");
    synchronized (entry) {
      if (entry.reason >= 0) throw new Faults.AlreadyRevoked(null, "Certificate with serial " + serial + " already revoked.");
      if (!Set.of(0, 1, 2, 3, 4, 5, 6, 8, 9, 10).contains(reason)) throw new Faults.Ejbca("INTERNAL_ERROR", "no reason " + reason);
      entry.reason = reason;
    }
  }

  @Override
  public boolean isAuthorized(String rule) throws Faults.Ejbca {
    if (!Enrolment.isAdministrator(request())) return false;
    String denied = behaviour.get().text("deny");
    if (!denied.isEmpty() && rule.startsWith(denied)) return false;
    // As EJBCA keeps them: CAs and profiles by number.
    if (rule.startsWith("/ca/")) return authorities.values().stream().anyMatch(ca -> rule.equals("/ca/" + ca.id));
    if (rule.startsWith("/endentityprofilesrules/"))
      return Enrolment.PROFILES.values().stream().anyMatch(profile -> rule.startsWith("/endentityprofilesrules/" + profile.id() + "/"));
    return true;
  }

  @Override
  public List<NameAndId> getAvailableCAs() throws Faults.AuthorizationDenied {
    authorize();
    return authorities.values().stream().map(ca -> new NameAndId(ca.name, ca.id)).toList();
  }

  @Override
  public List<NameAndId> getAuthorizedEndEntityProfiles() throws Faults.AuthorizationDenied {
    authorize();
    return Enrolment.PROFILES.entrySet().stream().map(each -> new NameAndId(each.getKey(), each.getValue().id())).toList();
  }

  @Override
  public List<NameAndId> getAvailableCertificateProfiles(int endEntityProfileId) throws Faults.AuthorizationDenied {
    authorize();
    return Enrolment.CERTIFICATE_PROFILES.keySet().stream().map(name -> new NameAndId(name, name.hashCode())).toList();
  }

  @Override
  public List<NameAndId> getAvailableCAsInProfile(int endEntityProfileId) throws Faults.AuthorizationDenied {
    return getAvailableCAs();
  }

  @Override
  public String getEjbcaVersion() {
    return "EJBCA 8.2.0.1 Community (double)";
  }
}
